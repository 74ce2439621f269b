"""What certificates say. Pure: bytes and values in, values and findings out.

``read``                bytes -> objects (PEM, DER, PKCS#7, PKCS#12), told from the bytes
``contents``            what was found in a file
``kinds`` ``pem`` ``der`` ``pkcs12`` ``private_keys``   the parts of reading
``names`` ``dn``        SANs and name matching; distinguished names as nginx prints them
``chain``               order a bag of certificates, build the path to a trust anchor
``material``            identities and trust as values, and the bytes to stage for nginx
``checks``              reasons why they would fail; parts: certificate_, name_, path_, trust_checks
``facts``               single facts of one certificate
``secret``              the redacting type that keys and passwords travel in
"""
