package oracle

import "regexp"

// explained are the differences that are meant, or not mended yet: those whose name the pattern matches, and why.
var explained = []struct {
	what *regexp.Regexp
	why  string
}{
	{regexp.MustCompile(`/listener\.[^.]*\.http\.`), "requests are not counted for each listener, too"},
	{regexp.MustCompile(`/listener\.[^.]*\.worker_0\.`), "loops are not counted for each listener"},
	{regexp.MustCompile(`/cluster\..*\.default\.total_match_count$`), "this counts look-ups of the one and only matcher of transport sockets"},
	{regexp.MustCompile(`/cluster\..*\.(external|internal)\.upstream_rq_`), "requests are not counted by where they come from"},
}

// uncompared are statistics that are not looked at: times, and what is so at one moment only.
var uncompared = regexp.MustCompile(`_ms$|_active$|_length_|_buffered$`)
