package accesslog

// takes is what may stand after an operator's name.
type takes uint8

const (
	takesNothing    takes = iota
	takesField            // (NAME) or (NAME?ALTERNATIVE), and a length
	takesName             // (NAME), and a length
	takesTime             // (strftime), or nothing
	takesSpan             // (FROM:TO:UNIT)
	takesSpace            // (ALLOW_WHITESPACES), or nothing
	takesServerName       // (SNI_ONLY), or nothing
	takesPath             // (NAMESPACE) or (NAMESPACE:KEY:KEY…), and a length
	takesState            // (NAME), (NAME:PLAIN) or (NAME:TYPED), and a length
)

type rule struct {
	kind  kind
	takes takes
	span  span
}

// commands are the operators, by their names of Envoy's. Those of Envoy's that are not here are refused: their value is not kept yet.
var commands = map[string]rule{
	"REQ":         {kind: opRequestField, takes: takesField},
	"RESP":        {kind: opResponseField, takes: takesField},
	"TRAILER":     {kind: opTrailerField, takes: takesField},
	"QUERY_PARAM": {kind: opQueryParameter, takes: takesName},
	"ENVIRONMENT": {kind: opConstant, takes: takesName},
	"HOSTNAME":    {kind: opConstant},

	"START_TIME":       {kind: opStartTime, takes: takesTime},
	"START_TIME_LOCAL": {kind: opStartTimeLocal, takes: takesTime},
	"EMIT_TIME":        {kind: opEmitTime, takes: takesTime},
	"EMIT_TIME_LOCAL":  {kind: opEmitTimeLocal, takes: takesTime},

	"DURATION":             {kind: opSpan, span: span{pointStart, pointEnd, 1e3}},
	"REQUEST_DURATION":     {kind: opSpan, span: span{pointStart, pointRequestEnd, 1e3}},
	"REQUEST_TX_DURATION":  {kind: opSpan, span: span{pointStart, pointUpstreamLastSent, 1e3}},
	"RESPONSE_DURATION":    {kind: opSpan, span: span{pointStart, pointUpstreamHead, 1e3}},
	"RESPONSE_TX_DURATION": {kind: opSpan, span: span{pointUpstreamHead, pointEnd, 1e3}},
	"COMMON_DURATION":      {kind: opSpan, takes: takesSpan},

	"PROTOCOL":                       {kind: opProtocol},
	"RESPONSE_CODE":                  {kind: opStatus},
	"RESPONSE_CODE_DETAILS":          {kind: opDetails, takes: takesSpace},
	"CONNECTION_TERMINATION_DETAILS": {kind: opTermination},
	"RESPONSE_FLAGS":                 {kind: opFlags},
	"RESPONSE_FLAGS_LONG":            {kind: opFlagsLong},

	"BYTES_RECEIVED":                 {kind: opBytesReceived},
	"BYTES_SENT":                     {kind: opBytesSent},
	"DOWNSTREAM_WIRE_BYTES_RECEIVED": {kind: opWireReceived},
	"DOWNSTREAM_WIRE_BYTES_SENT":     {kind: opWireSent},
	"UPSTREAM_WIRE_BYTES_RECEIVED":   {kind: opUpstreamWireReceived},
	"UPSTREAM_WIRE_BYTES_SENT":       {kind: opUpstreamWireSent},
	"REQUEST_HEADERS_BYTES":          {kind: opRequestHeaderBytes},
	"RESPONSE_HEADERS_BYTES":         {kind: opResponseHeaderBytes},
	"RESPONSE_TRAILERS_BYTES":        {kind: opResponseTrailerBytes},

	"UPSTREAM_HOST":                                 {kind: opUpstreamHost},
	"UPSTREAM_REMOTE_ADDRESS":                       {kind: opUpstreamRemote},
	"UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT":          {kind: opUpstreamRemoteHost},
	"UPSTREAM_REMOTE_PORT":                          {kind: opUpstreamRemotePort},
	"UPSTREAM_LOCAL_ADDRESS":                        {kind: opUpstreamLocal},
	"UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT":           {kind: opUpstreamLocalHost},
	"UPSTREAM_LOCAL_PORT":                           {kind: opUpstreamLocalPort},
	"DOWNSTREAM_REMOTE_ADDRESS":                     {kind: opRemote},
	"DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT":        {kind: opRemoteHost},
	"DOWNSTREAM_REMOTE_PORT":                        {kind: opRemotePort},
	"DOWNSTREAM_DIRECT_REMOTE_ADDRESS":              {kind: opDirect},
	"DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT": {kind: opDirectHost},
	"DOWNSTREAM_DIRECT_REMOTE_PORT":                 {kind: opDirectPort},
	"DOWNSTREAM_LOCAL_ADDRESS":                      {kind: opLocal},
	"DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT":         {kind: opLocalHost},
	"DOWNSTREAM_LOCAL_PORT":                         {kind: opLocalPort},
	"DOWNSTREAM_DIRECT_LOCAL_ADDRESS":               {kind: opDirectLocal},
	"DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT":  {kind: opDirectLocalHost},
	"DOWNSTREAM_DIRECT_LOCAL_PORT":                  {kind: opDirectLocalPort},

	"CONNECTION_ID":                     {kind: opConnectionID},
	"UPSTREAM_CONNECTION_ID":            {kind: opUpstreamConnectionID},
	"ROUTE_NAME":                        {kind: opRoute},
	"UPSTREAM_CLUSTER":                  {kind: opClusterStatName},
	"UPSTREAM_CLUSTER_RAW":              {kind: opCluster},
	"FILTER_CHAIN_NAME":                 {kind: opFilterChain},
	"UPSTREAM_REQUEST_ATTEMPT_COUNT":    {kind: opAttempts},
	"UPSTREAM_TRANSPORT_FAILURE_REASON": {kind: opUpstreamFailure},

	"DYNAMIC_METADATA": {kind: opMetadata, takes: takesPath},
	"FILTER_STATE":     {kind: opState, takes: takesState},

	"REQUESTED_SERVER_NAME":               {kind: opServerName, takes: takesServerName},
	"DOWNSTREAM_TRANSPORT_FAILURE_REASON": {kind: opAbsent},
}

// near suggests the operator that was probably meant, or lists them all.
func near(name string) string {
	best, score := "", 3
	for n := range commands {
		s := 0
		for s < len(n) && s < len(name) && n[s] == name[s] {
			s++
		}
		if s > score || s == score && n < best {
			best, score = n, s
		}
	}
	if best == "" {
		return "there are " + list(commands)
	}
	return "the nearest that is supported is " + best
}
