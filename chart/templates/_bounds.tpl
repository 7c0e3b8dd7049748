{{/* Generated from service/askd/config/ by `make chart-files`. The schema bounds durations that are
     numbers; this table bounds text: minimum and maximum in milliseconds, and the accepted text. */}}
{{- define "askd.durationBounds" -}}
{
  "killDelay": [0.0, 3600000.0, "a duration such as 500ms, 10s or 2m, at most 3600s"],
  "deadline": [1.0, 3600000.0, "a duration such as 500ms, 10s or 2m, at least 0.001s, at most 3600s"],
  "streamDeadline": [1.0, 86400000.0, "a duration such as 500ms, 10s or 2m, at least 0.001s, at most 86400s"],
  "queueTargetDelay": [1.0, 60000.0, "a duration such as 500ms, 10s or 2m, at least 0.001s, at most 60s"],
  "cacheTtl": [1.0, 1000000000000000.0, "a duration such as 500ms, 10s or 2m, at least 0.001s"],
  "headerTimeout": [100.0, 3600000.0, "a duration such as 500ms, 10s or 2m, at least 0.1s, at most 3600s"],
  "bodyTimeout": [100.0, 3600000.0, "a duration such as 500ms, 10s or 2m, at least 0.1s, at most 3600s"],
  "writeTimeout": [100.0, 3600000.0, "a duration such as 500ms, 10s or 2m, at least 0.1s, at most 3600s"],
  "keepaliveTimeout": [100.0, 86400000.0, "a duration such as 500ms, 10s or 2m, at least 0.1s, at most 86400s"],
  "connectionMaxAge": [0.0, 86400000.0, "a duration such as 500ms, 10s or 2m, at most 86400s"],
  "stallTimeout": [6000.0, 3600000.0, "a duration such as 500ms, 10s or 2m, at least 6s, at most 3600s"],
  "stallDumpAfter": [500.0, 3600000.0, "a duration such as 500ms, 10s or 2m, at least 0.5s, at most 3600s"],
  "drainDelay": [0.0, 600000.0, "a duration such as 500ms, 10s or 2m, at most 600s"],
  "drainTimeout": [0.0, 3600000.0, "a duration such as 500ms, 10s or 2m, at most 3600s"],
  "shutdownTimeout": [0.0, 600000.0, "a duration such as 500ms, 10s or 2m, at most 600s"],
  "flushTimeout": [0.0, 60000.0, "a duration such as 500ms, 10s or 2m, at most 60s"]
}
{{- end }}
