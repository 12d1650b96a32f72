package admin

import (
	"fmt"
	"html"
	"net/http"
	"strings"
)

// The index has no part that comes from elsewhere, and no script: a click is a form. It is written by hand, since html/template finds
// methods by their names, so that the linker has to keep all of them: 4 MB of the program, 1.7 MiB more resident (25 Nov 2026).
const (
	indexHead = `<!DOCTYPE html>
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
`
	indexRead   = "<tr><td><a href=\"%[1]s\"><code>%[1]s</code></a></td><td>GET</td><td>%[2]s</td></tr>\n"
	indexChange = "<tr><td><form method=\"post\" action=\"%[1]s\"><button>%[1]s</button></form></td><td>POST</td><td>%[2]s</td></tr>\n"
	indexEnd    = "</table>\n</body>\n</html>\n"
)

// index is all pages with what they are for. The buttons of those that change something are taken from a page of this very address only.
func (s *Server) index(w http.ResponseWriter, _ *http.Request) {
	var b strings.Builder
	b.WriteString(indexHead)
	for _, p := range s.pages {
		line := indexRead
		if p.change {
			line = indexChange
		}
		fmt.Fprintf(&b, line, html.EscapeString(p.path), html.EscapeString(p.help))
	}
	b.WriteString(indexEnd)
	w.Header().Set("content-type", "text/html; charset=UTF-8")
	w.Header().Set("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'")
	w.Write([]byte(b.String()))
}
