package ca

import "github.com/weftmesh/weft/telemetry"

// Stats is what is counted of an Authority.
var Stats = &telemetry.Table{Kind: "ca", Metrics: []telemetry.Metric{
	requests:  {Name: "requests_total"},
	unproven:  {Name: "requests_unproven"},
	broken:    {Name: "requests_broken"},
	unsigned:  {Name: "requests_unsigned"},
	issues:    {Name: "issued_total"},
	unfitting: {Name: "signer_answers_unfitting"},
}}

const (
	requests  = iota // for certificates, over gRPC
	unproven         // by callers that have not shown who they are
	broken           // whose CSR cannot be read, or is not signed by its own key
	unsigned         // of which nothing is wrong, but no certificate could be made or written down
	unfitting        // answers of a signer outside that were not what it was asked for
	issues           // certificates, those of proxies' own streams included
)

func (a *Authority) count(row int) {
	if a.options.Stats != nil {
		a.options.Stats.Inc(row)
	}
}
