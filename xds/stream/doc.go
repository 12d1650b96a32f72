// Package stream talks with a control plane over gRPC: it asks for resources, hands over what comes and answers for it, and connects again
// when it has to. It is not for what resources mean: their bytes are nobody's business here.
package stream
