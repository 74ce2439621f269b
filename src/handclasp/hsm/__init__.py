"""Keys in PKCS#11 tokens.

``modules``   which shared library speaks to the token
``token``     edge: the module, the token and the key in it
``login``     edge: the login, and what is said of tries of a PIN
``signing``   a key of a token as a key object of the cryptography library
``generate``  new keys that cannot leave the token
``isolated``  edge: the same in a process of its own, since modules can crash or hang
``worker``    what runs in that process
``softhsm``   edge: a token of SoftHSM, for trying
``support``   edge: what of the system lets nginx's OpenSSL use the token
``openssl_conf``  the configuration file with which it does
"""
