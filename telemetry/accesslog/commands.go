package accesslog

// takes is what may stand after an operator's name.
type takes uint8

const (
	takesNothing    takes = iota
	takesField            // (NAME) or (NAME?ALTERNATIVE), and a length
	takesName             // (NAME), and a length
	takesTime             // (strftime), or nothing
	takesSpan             // (FROM:TO) or (FROM:TO:UNIT)
	takesSpace            // (ALLOW_WHITESPACES), or nothing
	takesServerName       // (SNI_ONLY), or nothing
	takesPath             // (NAMESPACE) or (NAMESPACE:KEY:KEY…), and a length
	takesState            // (NAME), (NAME:PLAIN), (NAME:TYPED) or (NAME:FIELD:FIELD), and a length
	takesPart             // (WQ or NQ:WHICH), or nothing
	takesQuery            // (ORIG), or nothing
	takesOf               // (WHOSE:NAMESPACE:KEY…), and a length
	takesExpression       // (EXPRESSION), and a length
	takesCode             // (CAMEL_STRING, SNAKE_STRING or NUMBER), or nothing
	takesOperators        // (JSON), and a length
	takesKey              // (KEY), and a length that means nothing
)

type rule struct {
	kind    kind
	takes   takes
	span    span
	part    addressPart
	decoded bool
	owner   Owner // of what takesPath is
	// The following are opTransport's.
	fact     fact
	whose    whose
	upstream bool
}

// commands are the operators, by their names of Envoy's. Those of Envoy's that are not here are refused.
var commands = map[string]rule{
	"REQ":         {kind: opRequestField, takes: takesField},
	"RESP":        {kind: opResponseField, takes: takesField},
	"TRAILER":     {kind: opTrailerField, takes: takesField},
	"QUERY_PARAM": {kind: opQueryParameter, takes: takesName},

	"REQUEST_HEADER":     {kind: opRequestField, takes: takesField},
	"RESPONSE_HEADER":    {kind: opResponseField, takes: takesField},
	"RESPONSE_TRAILER":   {kind: opTrailerField, takes: takesField},
	"REQ_WITHOUT_QUERY":  {kind: opRequestField, takes: takesField},
	"PATH":               {kind: opRequestField, takes: takesPart},
	"QUERY_PARAMS":       {kind: opQuery, takes: takesQuery},
	"CEL":                {kind: opExpression, takes: takesExpression},
	"TYPED_CEL":          {kind: opExpression, takes: takesExpression},
	"GRPC_STATUS":        {kind: opGRPCStatus, takes: takesCode},
	"GRPC_STATUS_NUMBER": {kind: opGRPCNumber},
	"LOCAL_REPLY_BODY":   {kind: opLocalBody},
	"STREAM_ID":          {kind: opStreamID},
	"UNIQUE_ID":          {kind: opUniqueID},
	"ACCESS_LOG_TYPE":    {kind: opLogType},
	"UPSTREAM_PROTOCOL":  {kind: opUpstreamProtocol},
	"UPSTREAM_HOST_NAME": {kind: opUpstreamName},
	"METADATA":           {kind: opMetadata, takes: takesOf},
	"UPSTREAM_METADATA":  {kind: opConfigured, takes: takesPath, owner: OfEndpoint},
	"CLUSTER_METADATA":   {kind: opConfigured, takes: takesPath, owner: OfCluster},
	"COALESCE":           {kind: opCoalesce, takes: takesOperators},
	"ENVIRONMENT":        {kind: opConstant, takes: takesName},
	"HOSTNAME":           {kind: opConstant},

	"START_TIME":       {kind: opStartTime, takes: takesTime},
	"START_TIME_LOCAL": {kind: opStartTimeLocal, takes: takesTime},
	"EMIT_TIME":        {kind: opEmitTime, takes: takesTime},
	"EMIT_TIME_LOCAL":  {kind: opEmitTimeLocal, takes: takesTime},

	"DURATION":             {kind: opSpan, span: span{pointStart, pointEnd, 1e3}},
	"REQUEST_DURATION":     {kind: opSpan, span: span{pointStart, pointRequestEnd, 1e3}},
	"REQUEST_TX_DURATION":  {kind: opSpan, span: span{pointStart, pointUpstreamLastSent, 1e3}},
	"RESPONSE_DURATION":    {kind: opSpan, span: span{pointStart, pointUpstreamHead, 1e3}},
	"RESPONSE_TX_DURATION": {kind: opSpan, span: span{pointUpstreamHead, pointAnswered, 1e3}},
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

	"LISTENER_NAME":            {kind: opListener},
	"ROUTE_RESOLUTION_COUNT":   {kind: opResolutions},
	"ROUTE_RESOLUTION_TIME_US": {kind: opResolving},
	"DOWNSTREAM_CX_RTT":        {kind: opNothing}, // Envoy asks the kernel; nobody does here yet

	"DOWNSTREAM_HEADER_BYTES_RECEIVED":              {kind: opHeadReceived},
	"DOWNSTREAM_HEADER_BYTES_SENT":                  {kind: opHeadSent},
	"DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED": {kind: opHeadReceived, decoded: true},
	"DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_SENT":     {kind: opHeadSent, decoded: true},
	"UPSTREAM_HEADER_BYTES_RECEIVED":                {kind: opUpstreamHeadReceived},
	"UPSTREAM_HEADER_BYTES_SENT":                    {kind: opUpstreamHeadSent},
	"UPSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED":   {kind: opUpstreamHeadReceived, decoded: true},
	"UPSTREAM_DECOMPRESSED_HEADER_BYTES_SENT":       {kind: opUpstreamHeadSent, decoded: true},

	"DOWNSTREAM_DETECTED_CLOSE_TYPE": {kind: opReset},
	"DOWNSTREAM_LOCAL_CLOSE_REASON":  {kind: opClosed},
	"UPSTREAM_DETECTED_CLOSE_TYPE":   {kind: opUpstreamReset},
	"UPSTREAM_LOCAL_CLOSE_REASON":    {kind: opUpstreamClosed},

	"UPSTREAM_CONNECTION_POOL_READY_DURATION":    {kind: opReady},
	"UPSTREAM_CONNECTION_IDS_ATTEMPTED":          {kind: opTriedConnections},
	"UPSTREAM_HOSTS_ATTEMPTED":                   {kind: opTried},
	"UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT":      {kind: opTried, part: hostOnly},
	"UPSTREAM_HOST_NAMES_ATTEMPTED":              {kind: opTriedNames},
	"UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT": {kind: opTriedNames, part: hostOnly},
	"UPSTREAM_HOST_NAME_WITHOUT_PORT":            {kind: opUpstreamName, part: hostOnly},

	"DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID":        {kind: opEmpty},
	"DOWNSTREAM_DIRECT_LOCAL_ADDRESS_ENDPOINT_ID": {kind: opEmpty},
	"UPSTREAM_REMOTE_ADDRESS_ENDPOINT_ID":         {kind: opRemoteEmpty},

	"DYNAMIC_METADATA": {kind: opMetadata, takes: takesPath},
	"FILTER_STATE":     {kind: opState, takes: takesState},
	"XFCC_VALUE":       {kind: opForwardedCert, takes: takesKey},

	"REQUESTED_SERVER_NAME":               {kind: opServerName, takes: takesServerName},
	"DOWNSTREAM_TRANSPORT_FAILURE_REASON": {kind: opFailure},
	"UPSTREAM_FILTER_STATE":               {kind: opAbsent, takes: takesState}, // there are no upstream filters
	"VIRTUAL_CLUSTER_NAME":                {kind: opVirtualCluster},
	"TRACE_ID":                            {kind: opAbsent}, // nor traces
	"SPAN_ID":                             {kind: opAbsent},
	"ROUNDTRIP_DURATION":                  {kind: opAbsent}, // of QUIC
	"BYTES_RETRANSMITTED":                 {kind: opNothing},
	"PACKETS_RETRANSMITTED":               {kind: opNothing},
	"CUSTOM_FLAGS":                        {kind: opConstant}, // which extensions of Envoy's would set

	"DOWNSTREAM_HANDSHAKE_DURATION": {kind: opShaken},
	"TLS_JA3_FINGERPRINT":           {kind: opAbsent},
	"TLS_JA4_FINGERPRINT":           {kind: opAbsent},
	"UPSTREAM_SERVER_NAME":          {kind: opTransport, fact: factAskedName, upstream: true},
	"UPSTREAM_TLS_CIPHER":           {kind: opTransport, fact: factCipher, upstream: true},
	"UPSTREAM_TLS_GROUP":            {kind: opTransport, fact: factGroup, upstream: true},
	"UPSTREAM_TLS_VERSION":          {kind: opTransport, fact: factVersion, upstream: true},
	"UPSTREAM_TLS_SESSION_ID":       {kind: opAbsent}, // crypto/tls does not tell it, and sessions are resumed by tickets
	"UPSTREAM_PEER_ISSUER":          {kind: opTransport, fact: factIssuer, upstream: true},
	"UPSTREAM_PEER_CERT":            {kind: opTransport, fact: factPEM, upstream: true},
	"UPSTREAM_PEER_SUBJECT":         {kind: opTransport, fact: factSubject, upstream: true},
	"UPSTREAM_PEER_URI_SAN":         {kind: opTransport, fact: factURIs, upstream: true},
	"UPSTREAM_PEER_DNS_SAN":         {kind: opTransport, fact: factDNS, upstream: true},
	"UPSTREAM_PEER_IP_SAN":          {kind: opTransport, fact: factIPs, upstream: true},
	"UPSTREAM_LOCAL_URI_SAN":        {kind: opTransport, fact: factURIs, whose: ofUs, upstream: true},
	"UPSTREAM_LOCAL_DNS_SAN":        {kind: opTransport, fact: factDNS, whose: ofUs, upstream: true},
	"UPSTREAM_LOCAL_IP_SAN":         {kind: opTransport, fact: factIPs, whose: ofUs, upstream: true},
	"UPSTREAM_PEER_CERT_V_START":    {kind: opTransport, takes: takesTime, fact: factFrom, upstream: true},
	"UPSTREAM_PEER_CERT_V_END":      {kind: opTransport, takes: takesTime, fact: factUntil, upstream: true},

	"DOWNSTREAM_TLS_CIPHER":                  {kind: opTransport, fact: factCipher},
	"DOWNSTREAM_TLS_GROUP":                   {kind: opTransport, fact: factGroup},
	"DOWNSTREAM_PEER_ISSUER_SERIAL":          {kind: opTransport, fact: factSerial, whose: ofIssuer},
	"DOWNSTREAM_PEER_ISSUER_FINGERPRINT_256": {kind: opTransport, fact: factSHA256, whose: ofIssuer},
	"DOWNSTREAM_TLS_VERSION":                 {kind: opTransport, fact: factVersion},
	"DOWNSTREAM_TLS_SESSION_ID":              {kind: opAbsent}, // crypto/tls does not tell it, and sessions are resumed by tickets
	"DOWNSTREAM_PEER_URI_SAN":                {kind: opTransport, fact: factURIs},
	"DOWNSTREAM_PEER_DNS_SAN":                {kind: opTransport, fact: factDNS},
	"DOWNSTREAM_PEER_IP_SAN":                 {kind: opTransport, fact: factIPs},
	"DOWNSTREAM_PEER_EMAIL_SAN":              {kind: opTransport, fact: factEmails},
	"DOWNSTREAM_PEER_OTHERNAME_SAN":          {kind: opTransport, fact: factOthers},
	"DOWNSTREAM_LOCAL_URI_SAN":               {kind: opTransport, fact: factURIs, whose: ofUs},
	"DOWNSTREAM_LOCAL_DNS_SAN":               {kind: opTransport, fact: factDNS, whose: ofUs},
	"DOWNSTREAM_LOCAL_IP_SAN":                {kind: opTransport, fact: factIPs, whose: ofUs},
	"DOWNSTREAM_LOCAL_EMAIL_SAN":             {kind: opTransport, fact: factEmails, whose: ofUs},
	"DOWNSTREAM_LOCAL_OTHERNAME_SAN":         {kind: opTransport, fact: factOthers, whose: ofUs},
	"DOWNSTREAM_PEER_SUBJECT":                {kind: opTransport, fact: factSubject},
	"DOWNSTREAM_LOCAL_SUBJECT":               {kind: opTransport, fact: factSubject, whose: ofUs},
	"DOWNSTREAM_PEER_ISSUER":                 {kind: opTransport, fact: factIssuer},
	"DOWNSTREAM_PEER_SERIAL":                 {kind: opTransport, fact: factSerial},
	"DOWNSTREAM_PEER_FINGERPRINT_256":        {kind: opTransport, fact: factSHA256},
	"DOWNSTREAM_PEER_FINGERPRINT_1":          {kind: opTransport, fact: factSHA1},
	"DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256": {kind: opTransport, fact: factChainSHA256},
	"DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_1":   {kind: opTransport, fact: factChainSHA1},
	"DOWNSTREAM_PEER_CHAIN_SERIALS":          {kind: opTransport, fact: factChainSerials},
	"DOWNSTREAM_PEER_CERT":                   {kind: opTransport, fact: factPEM},
	"DOWNSTREAM_PEER_CERT_V_START":           {kind: opTransport, takes: takesTime, fact: factFrom},
	"DOWNSTREAM_PEER_CERT_V_END":             {kind: opTransport, takes: takesTime, fact: factUntil},
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
