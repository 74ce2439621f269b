"""Where certificates come from: one protocol, one file each for our own CA and for others.

``protocol``   what is asked and what is given, or why not
``judge``      whether what was given is what was asked
``schedule``   when to ask again, and when to raise an alarm
``request``    the order, the names, the signing request
``sources``    from a section of the spec to its issuer
``local``      our own CA, in a directory
``command``    edge: any program that prints PEM
``acme``       edge: an ACME server (RFC 8555), by threads around ``acme_client``
``vault``      edge: the PKI engine of Vault or OpenBao
``spiffe``     edge: the SPIFFE Workload API
``calling``    issuers that say by themselves when they want to be asked
``readiness``  edge: what they lack, seen without asking them
"""
