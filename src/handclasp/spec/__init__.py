"""The spec: handclasp.yaml as a typed model, every error with file, line and column.

``read`` (edge: files) → ``load`` → ``document`` (YAML text to data and places, with ``yaml_text``
and ``positions``) and ``model`` (with ``links``, ``policy``, ``types``; values in ``values``,
``quantities``, ``names``). What pydantic finds becomes sentences in ``problems``, with the words of
``wording`` and the suggestions of ``shape``. ``check`` and ``checks`` judge several keys together.
``schema``, ``reference`` and ``docstrings`` describe the model; ``starter`` is what `init` writes.
"""
