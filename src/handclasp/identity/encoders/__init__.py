"""The headers that tell a backend who is calling, one encoder per dialect.

``encode``        caller → headers of one or several dialects
``escaping``      certificate text that cannot end the value it stands in
``style``         what a spec may choose
``percent`` ``binary`` ``xfcc`` ``traefik`` ``compact``   the dialects by family
"""

from handclasp.identity.encoders.encode import conflicts, encode, encode_all, header_size
from handclasp.identity.encoders.style import Detail, Style

__all__ = ["Detail", "Style", "conflicts", "encode", "encode_all", "header_size"]
