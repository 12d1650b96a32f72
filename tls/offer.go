package tls

import "strings"

// Offer is what a connection of our own offers its server by ALPN, the best first, whatever its context says.
type Offer struct {
	Protocols []string
	// Key tells offers apart, and has no NUL: connections are kept apart by it.
	Key string
}

// inMesh is what workloads of Istio's meshes offer each other, whatever they speak. Whoever offers it has a peer that knows how to leave out what it does not know.
const inMesh = "istio"

// offerSeparator stands between the protocols of a key. No protocol that is offered contains it.
const offerSeparator = "\x01"

// NewOffer is an offer of those protocols, none of whose names has a control character.
func NewOffer(protocols []string) *Offer {
	return &Offer{Protocols: protocols, Key: strings.Join(protocols, offerSeparator)}
}

// OfferOf are the protocols of an offer's key; nil: it offers what its context says.
func OfferOf(key string) []string {
	if key == "" {
		return nil
	}
	return strings.Split(key, offerSeparator)
}
