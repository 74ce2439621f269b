"""`handclasp demo`: a hop with both ends on this machine, and what happens when something is wrong.

``cast``      who takes part: names and certificates
``specs``     the two spec files
``crossing``  the request that goes through, as every station saw it
``tries``     what must be refused: one entry each, and the judgement of what was seen
``naming``    what nginx and the handshake said → the slug that explains it
``drawing``   the page: path of a request, each refusal, the result
``curl``      command lines to go on with
``servers``   edge: the backend and the impostor
``agents``    edge: `handclasp run` as a process
``stage``     edge: the temporary directory with everything that runs in it
``scenes``    edge: the request and the tries, carried out
``play``      edge: from the first line to the last, and what signals do
"""
