"""Who a caller is, whether they may enter, and the headers that tell the backend. Pure.

``caller``    a client certificate as the facts that rules and encoders ask for
``names``     distinguished names compared by structure
``chain``     the path from a leaf to a link's trust bundle; None rather than a guess
``rules``     allow rules compiled to tests of a caller

``policy``    the decision about a caller
``denied``    certificates refused before they expire
``encoders``  the identity headers, one module per family of dialects
``limits``    how large a header the usual servers admit
``examine``   what a backend would make of headers somebody copied; ``headers`` takes text apart,
              ``salvage`` finds a certificate in a damaged value
"""
