"""What cannot be seen in one value alone: rules over several keys of a spec, without any file.

``names``      references, duplicates, what is defined and unused, settings of nginx itself
``listeners``  who listens where, and who may reach it
``egress``     upstreams, verified names, trusted hops of egress links
``ingress``    clients, rules, forwarded headers and backends of ingress links
"""
