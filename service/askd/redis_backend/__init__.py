"""What the replicas share, in Redis or Valkey: rates and answers. The one package that knows Redis.

Nothing here may fail an exchange: while Redis is slow or gone, every replica goes on by itself.
"""
