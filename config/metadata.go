package config

// Metadata is what a control plane says of an endpoint or a route, or a filter of an exchange, beside what is configured: JSON objects
// by namespace, such as "envoy.lb". Values are nil, bool, float64, string, []any and map[string]any. What came with a configuration is
// never written to.
type Metadata map[string]map[string]any
