package route

import (
	"bytes"
	"strconv"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/wire/http"
)

// Choose picks a share of a route's traffic by a random number.
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

// AppendRewritten appends the path that goes upstream: what the rule matched is replaced, the rest stays.
func AppendRewritten(dst []byte, f *config.Forward, m *config.Match, r *http.Request) []byte {
	return appendReplaced(dst, f.PrefixRewrite, m, r.Path())
}

func appendReplaced(dst []byte, with string, m *config.Match, path []byte) []byte {
	dst = append(dst, with...)
	return append(dst, path[min(matched(m, path), len(path)):]...)
}

// matched is how much of a path a rule matched.
func matched(m *config.Match, path []byte) int {
	if m.Kind == config.PathRegex {
		if i := bytes.IndexByte(path, '?'); i >= 0 {
			return i
		}
		return len(path)
	}
	return len(m.Path)
}

// AppendLocation appends the value of a redirect's location field.
func AppendLocation(dst []byte, d *config.Redirect, m *config.Match, r *http.Request) []byte {
	scheme := string(r.Scheme())
	switch {
	case d.HTTPS:
		scheme = "https"
	case d.Scheme != "":
		scheme = d.Scheme
	}
	dst = append(append(dst, scheme...), "://"...)
	host, port := r.Authority(), ""
	if d.Host != "" {
		host = []byte(d.Host)
	}
	bare := withoutPort(host)
	switch {
	case d.Port != 0:
		port = ":" + strconv.Itoa(int(d.Port))
	case d.Host != "":
		port = string(host[len(bare):])
	default:
		// A port that was the old scheme's own goes with the scheme.
		port = string(host[len(bare):])
		if changed := scheme != string(r.Scheme()); changed && (port == ":80" || port == ":443") {
			port = ""
		}
	}
	dst = append(append(dst, bare...), port...)
	path := r.Path()
	switch {
	case d.Path != "":
		dst = append(dst, d.Path...)
		if !d.StripQuery && bytes.IndexByte([]byte(d.Path), '?') < 0 {
			if i := bytes.IndexByte(path, '?'); i >= 0 {
				dst = append(dst, path[i:]...)
			}
		}
		return dst
	case d.PrefixRewrite != nil:
		if d.StripQuery {
			path = withoutQuery(path)
		}
		return appendReplaced(dst, *d.PrefixRewrite, m, path)
	}
	if d.StripQuery {
		path = withoutQuery(path)
	}
	return append(dst, path...)
}

func withoutQuery(path []byte) []byte {
	if i := bytes.IndexByte(path, '?'); i >= 0 {
		return path[:i]
	}
	return path
}

// AppendTLSLocation appends where a request for a virtual host that serves https only is sent.
func AppendTLSLocation(dst []byte, r *http.Request) []byte {
	dst = append(append(dst, "https://"...), r.Authority()...)
	return append(dst, r.Path()...)
}
