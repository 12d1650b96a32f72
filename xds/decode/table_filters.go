package decode

// filterMessages are the messages of HTTP filters, by where they stand.
var filterMessages = map[place][]string{
	inChain: {
		"envoy.extensions.filters.http.buffer.v3.Buffer",
	},
	inRoute: {
		"envoy.extensions.filters.http.buffer.v3.BufferPerRoute",
	},
}

// filterTable holds what HTTP filters read.
var filterTable = table{
	"envoy.extensions.filters.http.buffer.v3.Buffer": {
		"max_request_bytes": run,
	},
	"envoy.extensions.filters.http.buffer.v3.BufferPerRoute": {
		"disabled": run,
		"buffer":   run,
	},
}
