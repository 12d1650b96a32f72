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

// AppendRewritten appends the path that goes upstream: what the rule matched is replaced, the rest stays, byte for byte.
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
		return len(bare(path))
	}
	return len(m.Path)
}

// AppendLocation appends the value of a redirect's location field, put together as Envoy does.
func AppendLocation(dst []byte, d *config.Redirect, m *config.Match, r *http.Request) []byte {
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
	dst = appendLocationPath(dst, d, m, r.Path())
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
	if d.PrefixRewrite != nil && *d.PrefixRewrite != "" { // an empty one is none, in Envoy
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
