"""Certificate authorities.

``profile``      what is in each kind of certificate; the one builder
``names`` ``lifetimes`` ``newkeys`` ``requests``   what people ask for, judged
``creation``     a new CA: a root and an issuing intermediate
``issuing``      from what is asked for to a certificate in the ledger, or the reason why not
``revocation`` ``status``   revocation lists; what became of a certificate
``ledger``       edge: the SQLite file with everything issued, revoked and listed
``directory``    edge: a CA's directory and its keys
``delivery``     edge: certificates and keys handed out
``lists``        edge: the lists of both CAs, numbered and written
``development``  a root and the leaves below it, for one's own machine
``files``        edge: writes them, keys 0600
"""
