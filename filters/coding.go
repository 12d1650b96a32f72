package filters

// Coding is a way to compress bodies.
type Coding uint8

// The codings that there are libraries for.
const (
	Gzip Coding = iota
	Brotli
	Zstd
)

var (
	codingNames     = [...]string{Gzip: "gzip", Brotli: "br", Zstd: "zstd"}
	codingStatNames = [...]string{Gzip: "gzip", Brotli: "brotli", Zstd: "zstd"}
)

// Name is what content-encoding calls the coding.
func (c Coding) Name() string { return codingNames[c] }

// StatName is what statistics call it.
func (c Coding) StatName() string { return codingStatNames[c] }
