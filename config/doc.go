// Package config is the narrow waist between what a control plane said and what runs: plain, immutable data with every default
// filled in and every rule checked. It has no behaviour, knows no protobuf and no running part; xds/decode makes it and proxy
// compiles it.
package config
