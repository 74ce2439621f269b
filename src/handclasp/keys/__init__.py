"""Where keys and secrets live. Edges: files and the environment.

``load``          identities and trust bundles from the files a spec names
``files``         bounded reading, key file modes, private and atomic writing
``secret``        where a password comes from, and the redacting type it comes in
``system_trust``  the operating system's bundle of public CAs
"""
