package dns

import (
	"encoding/binary"
	"errors"
)

// errBroken says that what came is no message.
var errBroken = errors.New("it is not in protobuf's wire format")

// fields calls each for the fields of a message that have a length.
func fields(b []byte, each func(number uint64, value []byte) error) error {
	for len(b) > 0 {
		tag, n := binary.Uvarint(b)
		if n <= 0 || tag>>3 == 0 {
			return errBroken
		}
		b = b[n:]
		switch tag & 7 {
		case 0:
			if _, n = binary.Uvarint(b); n <= 0 {
				return errBroken
			}
		case 1:
			n = 8
		case 2:
			size, m := binary.Uvarint(b)
			if m <= 0 || size > uint64(len(b)-m) {
				return errBroken
			}
			if err := each(tag>>3, b[m:m+int(size)]); err != nil {
				return err
			}
			n = m + int(size)
		case 5:
			n = 4
		default:
			return errBroken
		}
		if n > len(b) {
			return errBroken
		}
		b = b[n:]
	}
	return nil
}
