"""For applications behind an ingress link. Imports nothing else of handclasp.

``dialects``  the header names of every identity dialect, in one list
"""
