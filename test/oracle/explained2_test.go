package oracle

// explainedHTTP2 are the differences of scenarios of HTTP/2.
var explainedHTTP2 = []difference{}
