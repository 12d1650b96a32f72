package admin

import (
	"html/template"
	"net/http"
)

// indexPage has no part that comes from elsewhere, and no script: a click is a form. The text of the pages is the program's own, and is
// escaped all the same.
var indexPage = template.Must(template.New("index").Parse(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>weft</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em; color: #222 }
td { padding: .2em 1em .2em 0; vertical-align: top }
code, button { font: 14px monospace }
</style>
</head>
<body>
<h1>weft</h1>
<table>
{{range .}}<tr><td>{{if .Change}}<form method="post" action="{{.Path}}"><button>{{.Path}}</button></form>{{else}}<a href="{{.Path}}"><code>{{.Path}}</code></a>{{end}}</td><td>{{if .Change}}POST{{else}}GET{{end}}</td><td>{{.Help}}</td></tr>
{{end}}</table>
</body>
</html>
`))

// index is all pages with what they are for. The buttons of those that change something are taken from a page of this very address only.
func (s *Server) index(w http.ResponseWriter, _ *http.Request) {
	type line struct {
		Path, Help string
		Change     bool
	}
	var lines []line
	for _, p := range s.pages {
		lines = append(lines, line{p.path, p.help, p.change})
	}
	w.Header().Set("content-type", "text/html; charset=UTF-8")
	w.Header().Set("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'")
	indexPage.Execute(w, lines)
}
