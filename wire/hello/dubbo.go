package hello

// Dubbo is how filter chains name Dubbo 2 among application protocols.
const Dubbo = "dubbo"

// frames is what every frame of Dubbo 2 begins with. No version of HTTP and no TLS does.
const frames = "\xda\xbb"

// IsDubbo tells whether the first bytes of a connection are those of a frame of Dubbo 2. need is as with TLS.
func IsDubbo(b []byte) (v Verdict, need int) {
	n := min(len(b), len(frames))
	switch {
	case string(b[:n]) != frames[:n]:
		return NotFound, 0
	case n < len(frames):
		return More, len(b) + 1
	}
	return Found, 0
}
