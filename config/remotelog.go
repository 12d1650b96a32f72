package config

import "time"

// RemoteLog is an access log that a server keeps, to which entries are sent over gRPC.
type RemoteLog struct {
	Name        string // as the server knows it
	Cluster     string // of the server
	Connections bool   // entries are of connections; else of requests
	// Entries are sent when so many bytes of them wait, or when the first has waited so long.
	Size     uint32
	Interval time.Duration
	State    []string // named values that are told
	Tags     []LogTag
	// Fields that are told beside the usual ones, in lower case.
	RequestHeaders, ResponseHeaders, ResponseTrailers []string
}

// LogTag is a value that is told under a name. Format is a *accesslog.Format that leaves out what is missing.
type LogTag struct {
	Name      string
	Format    any
	Chosen    bool   // it is told only where an endpoint was chosen
	Otherwise string // instead of an empty value; empty: the tag is left out
}
