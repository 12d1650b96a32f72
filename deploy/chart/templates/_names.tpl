{{- /* image is that of all programs. */ -}}
{{- define "image" -}}
{{ required "image: name that of weft: --set image=REGISTRY/weft:TAG" .Values.image }}
{{- end -}}

{{- /* pull is how it is fetched. */ -}}
{{- define "pull" -}}
{{- with .Values.imagePullPolicy }}
imagePullPolicy: {{ . }}
{{- end }}
{{- end -}}

{{- define "pullSecrets" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{- /* unprivileged is what each container may: nothing. */ -}}
{{- define "unprivileged" -}}
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
privileged: false
readOnlyRootFilesystem: true
{{- end -}}

{{- /* place is where pods of a part may be. */ -}}
{{- define "place" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* inject is the injector's file. */ -}}
{{- define "inject" -}}
{{- $said := dict "image" (include "image" .) }}
{{- if .Values.cni.enabled }}{{ $_ := set $said "cni" true }}{{ end }}
{{- merge (deepCopy .Values.inject) $said | toYaml }}
{{- end -}}
