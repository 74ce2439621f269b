"""Certificate authorities.

``development``  a root and the leaves below it, for one's own machine
``files``        edge: writes them, keys 0600
"""
