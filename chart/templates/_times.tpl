{{/* Durations, in whole milliseconds unless stated otherwise, and values computed from them. */}}

{{/* Milliseconds of a duration of askd: 500ms, 10s, 2m, 1h or seconds. */}}
{{- define "askd.milliseconds" -}}
{{- $text := include "askd.text" . -}}
{{- $number := regexFind "^[0-9.]+" $text -}}
{{- $unit := trimPrefix $number $text | trim -}}
{{- $factors := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 -}}
{{- mulf (float64 $number) (get $factors ($unit | default "s")) | ceil | int64 -}}
{{- end }}

{{/* A number as text: Helm reads 1000000 as a float and would print 1e+06. */}}
{{- define "askd.text" -}}
{{- if kindIs "float64" . -}}
{{- if eq . (floor .) -}}{{ int64 . }}{{- else -}}{{ . }}{{- end -}}
{{- else -}}
{{- toString . | trim -}}
{{- end -}}
{{- end }}

{{/* The spec, or the default file that askd would find among the known files. */}}
{{- define "askd.spec" -}}
{{- $found := list -}}
{{- range $name := list "answer.py" "langgraph.json" "book.yaml" "book.yml" "book.json" "book.jsonl" "book.ndjson" "book.csv" "book.tsv" "book.md" "book.markdown" "book.mdx" "main.py" "app.py" "faq.yaml" "faq.yml" "faq.json" "faq.jsonl" "faq.ndjson" "faq.csv" "faq.tsv" "faq.md" "faq.markdown" "faq.mdx" -}}
{{- if hasKey (include "askd.files" $ | fromJson) $name }}{{ $found = append $found $name }}{{ end -}}
{{- end -}}
{{- .Values.answerer.spec | default (first $found | default "") -}}
{{- end }}

{{/* book, code, remote, or empty for the built-in book or the content of an image or volume. A folder counts as code. */}}
{{- define "askd.kind" -}}
{{- $spec := include "askd.spec" . -}}
{{- if not $spec -}}
{{- if or .Values.answerer.existingConfigMap .Values.answerer.volume -}}code{{- end -}}
{{- else if regexMatch "^(?i)(ask\\+)?https?://" $spec -}}remote
{{- else if regexMatch "(^|/)langgraph\\.json$" $spec -}}code
{{- else if regexMatch "(?i)^[^#:]+\\.(ya?ml|json|md)$" $spec -}}book
{{- else -}}code
{{- end -}}
{{- end }}

{{/* The deadline: the setting, else 10 s for a book and 60 s otherwise, because an image may contain code. */}}
{{- define "askd.deadline" -}}
{{- $unset := ternary "10s" "60s" (eq (include "askd.kind" .) "book") -}}
{{- include "askd.milliseconds" (.Values.settings.deadline | default $unset) -}}
{{- end }}

{{/* The drain time-out: the setting, else the deadline plus 5 s. */}}
{{- define "askd.drainTimeout" -}}
{{- if kindIs "invalid" .Values.settings.drainTimeout -}}
{{- add (include "askd.deadline" .) 5000 -}}
{{- else -}}
{{- include "askd.milliseconds" .Values.settings.drainTimeout -}}
{{- end -}}
{{- end }}

{{/* Seconds of the preStop hook: those of the user's sleep, else `stop.preStop`. */}}
{{- define "askd.preStop" -}}
{{- dig "preStop" "sleep" "seconds" .Values.stop.preStop .Values.lifecycle | int64 -}}
{{- end }}

{{/* The least grace period in seconds: the sum of all shutdown steps, plus 5 s. */}}
{{- define "askd.leastGracePeriod" -}}
{{- $steps := add
  (mul (include "askd.preStop" .) 1000)
  (include "askd.milliseconds" .Values.settings.drainDelay)
  (include "askd.drainTimeout" .)
  (include "askd.milliseconds" .Values.settings.shutdownTimeout)
  (include "askd.milliseconds" .Values.settings.flushTimeout) -}}
{{- add (divf $steps 1000 | ceil) 5 -}}
{{- end }}

{{- define "askd.gracePeriod" -}}
{{- .Values.terminationGracePeriodSeconds | default (include "askd.leastGracePeriod" .) | int64 -}}
{{- end }}

{{/* Seconds that the startup probe allows. */}}
{{- define "askd.startupTime" -}}
{{- with .Values.startupProbe }}{{ add .initialDelaySeconds (mul .periodSeconds .failureThreshold) }}{{ end -}}
{{- end }}

{{/* A time-out for a proxy in front of askd, as the Gateway API writes it: 2 s more, so that askd's 504 comes first. */}}
{{- define "askd.timeoutBefore" -}}
{{- add (divf . 1000 | ceil) 2 -}}s
{{- end }}
