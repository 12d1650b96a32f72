// Package secrets makes what proxies are told of keys, certificates and roots over their stream, for whom they have shown to be. It is not for who may
// have a certificate, which control/ca says, nor for which secrets a proxy's configuration names.
package secrets
