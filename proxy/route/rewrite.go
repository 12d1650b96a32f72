package route

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/wire/http"
)

// Choose picks a share of a route's traffic by a random number. A share of weight 0 is never picked.
func Choose(clusters []config.WeightedCluster, total uint32, random uint64) *config.WeightedCluster {
	if len(clusters) == 1 {
		return &clusters[0]
	}
	at := uint32(random % uint64(total))
	for i := range clusters {
		if at < clusters[i].Weight {
			return &clusters[i]
		}
		at -= clusters[i].Weight
	}
	return &clusters[len(clusters)-1]
}

// Number is the random number that a field brings along, if it is one.
func Number(r *http.Request, name string) (n uint64, ok bool) {
	value := r.Field(name)
	if len(value) > 1 && value[0] == '+' {
		value = value[1:]
	}
	n, err := strconv.ParseUint(string(value), 10, 64)
	return n, err == nil
}

// AppendRewritten appends the path that goes upstream: what the rule matched, or the replacement's pattern, is replaced, the rest stays,
// byte for byte. Nothing is appended if nothing but the query would be left: then the path is to stay.
func AppendRewritten(dst []byte, f *config.Forward, m *config.Match, r *http.Request) []byte {
	if f.Path == nil {
		return appendReplaced(dst, f.PrefixRewrite, m, r.Path())
	}
	return appendRewritten(dst, f.Path.Replace, r.Path())
}

func appendRewritten(dst []byte, with *config.Replacement, path []byte) []byte {
	start, end := len(dst), len(bare(path))
	if dst = AppendReplaced(dst, with, path[:end]); len(dst) == start {
		return dst
	}
	return append(dst, path[end:]...)
}

// AppendQuery appends a path's query, with its question mark.
func AppendQuery(dst, path []byte) []byte {
	if i := bytes.IndexByte(path, '?'); i >= 0 {
		dst = append(dst, path[i:]...)
	}
	return dst
}

// AppendFromPath appends what a replacement makes of the request's path, without its query.
func AppendFromPath(dst []byte, with *config.Replacement, r *http.Request) []byte {
	return AppendReplaced(dst, with, bare(r.Path()))
}

// AppendReplaced appends a text with each part that the pattern matches replaced. It allocates, as package regexp does for what it finds.
func AppendReplaced(dst []byte, with *config.Replacement, text []byte) []byte {
	at := 0
	for _, m := range with.Pattern.FindAllSubmatchIndex(text, -1) {
		dst = append(dst, text[at:m[0]]...)
		for i := range with.With {
			if p := &with.With[i]; p.Text != "" {
				dst = append(dst, p.Text...)
			} else if from := m[2*p.Group]; from >= 0 {
				dst = append(dst, text[from:m[2*p.Group+1]]...)
			}
		}
		at = m[1]
	}
	return append(dst, text[at:]...)
}

func appendReplaced(dst []byte, with string, m *config.Match, path []byte) []byte {
	dst = append(dst, with...)
	return append(dst, path[min(matched(m, path), len(path)):]...)
}

// matched is how much of a path a rule matched.
func matched(m *config.Match, path []byte) int {
	if m.Kind == config.PathRegex {
		return len(bare(path))
	}
	return len(m.Path)
}

// AppendLocation appends the value of a redirect's location field, put together as Envoy does. formatted is what the redirect's format
// makes of the path; nil: it has none.
func AppendLocation(dst []byte, d *config.Redirect, m *config.Match, r *http.Request, formatted []byte) []byte {
	scheme := len(dst)
	switch {
	case d.HTTPS:
		dst = append(dst, "https"...)
	case d.Scheme != "":
		dst = append(dst, d.Scheme...)
	default:
		dst = append(dst, r.Scheme()...)
	}
	changed := !bytes.Equal(dst[scheme:], r.Get(http.XForwardedProto))
	dst = append(dst, "://"...)
	dst = appendHost(dst, d, changed, r)
	path := len(dst)
	if len(formatted) > 0 {
		if dst = append(dst, formatted...); !d.StripQuery {
			dst = AppendQuery(dst, r.Path())
		}
	} else {
		dst = appendLocationPath(dst, d, m, r.Path())
	}
	if path == len(dst) || dst[path] != '/' {
		dst = append(dst, 0)
		copy(dst[path+1:], dst[path:])
		dst[path] = '/'
	}
	return dst
}

func appendHost(dst []byte, d *config.Redirect, schemeChanged bool, r *http.Request) []byte {
	start := len(dst)
	if d.Host != "" {
		dst = append(dst, d.Host...)
	} else {
		dst = append(dst, r.Authority()...)
	}
	host := dst[start:]
	bare := withoutPort(host)
	if d.Port != 0 {
		dst = append(dst[:start+len(bare)], ':')
		return strconv.AppendUint(dst, uint64(d.Port), 10)
	}
	// A port that the old scheme would have had anyway goes with that scheme.
	if d.Host == "" && schemeChanged {
		port, proto := string(host[len(bare):]), r.Get(http.XForwardedProto)
		if port == ":80" && string(proto) == "http" || port == ":443" && string(proto) == "https" {
			dst = dst[:start+len(bare)]
		}
	}
	return dst
}

func appendLocationPath(dst []byte, d *config.Redirect, m *config.Match, path []byte) []byte {
	if d.Path != "" {
		// A query in the configured path takes the place of the request's, and is not what StripQuery means.
		dst = append(dst, d.Path...)
		if i := bytes.IndexByte(path, '?'); i >= 0 && !d.StripQuery && strings.IndexByte(d.Path, '?') < 0 {
			dst = append(dst, path[i:]...)
		}
		return dst
	}
	start := len(dst)
	if d.Rewrite != nil && d.Rewrite.Replace != nil {
		if dst = appendRewritten(dst, d.Rewrite.Replace, path); len(dst) == start {
			dst = append(dst, path...)
		}
	} else if d.PrefixRewrite != nil && *d.PrefixRewrite != "" { // an empty one is none, in Envoy
		dst = appendReplaced(dst, *d.PrefixRewrite, m, path)
	} else {
		dst = append(dst, path...)
	}
	if d.StripQuery {
		if i := bytes.IndexByte(dst[start:], '?'); i >= 0 {
			dst = dst[:start+i]
		}
	}
	return dst
}

// AppendTLSLocation appends where a request for a virtual host that serves https only is sent. A port stays as it was asked for.
func AppendTLSLocation(dst []byte, r *http.Request) []byte {
	dst = append(append(dst, "https://"...), r.Authority()...)
	return append(dst, r.Path()...)
}
