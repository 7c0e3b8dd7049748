"""nginx with one worker: a constant answer with a request id, and a JSON access log like askd's. Argument: PORT."""

import os
import sys
import tempfile
from pathlib import Path

CONFIG = """
daemon off; master_process off; pid {folder}/pid; error_log stderr error;
events {{ worker_connections 4096; }}
http {{
  log_format json escape=json '{{"timestamp":"$time_iso8601","request_id":"$request_id","method":"$request_method",'
    '"path":"$uri","status":$status,"seconds":$request_time,"client":"$remote_addr"}}';
  access_log {folder}/access.log json buffer=64k flush=1s;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  keepalive_requests 1000000000;
  server {{
    listen 127.0.0.1:{port};
    location = /ask {{
      default_type application/json; add_header X-Request-Id $request_id; return 200 '{{"answer":"Hi"}}';
    }}
  }}
}}
"""

if __name__ == "__main__":
    folder = Path(tempfile.mkdtemp(prefix="askd-bench-nginx-"))
    config = folder / "nginx.conf"
    config.write_text(CONFIG.format(folder=folder, port=int(sys.argv[1])))
    os.execvp("nginx", ["nginx", "-p", str(folder), "-c", str(config)])
