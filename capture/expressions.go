package capture

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// expressions is the rule as the kernel's nftables takes it: what is looked at is put into register 1 and compared there. It says what nft says in
// words, in the same order; a test has nft list both.
func (r Rule) expressions() []expr.Any {
	var list []expr.Any
	say := func(e ...expr.Any) { list = append(list, e...) }
	compare := func(not bool, value []byte) {
		op := expr.CmpOpEq
		if not {
			op = expr.CmpOpNeq
		}
		say(&expr.Cmp{Op: op, Register: 1, Data: value})
	}
	meta := func(key expr.MetaKey, not bool, value []byte) {
		say(&expr.Meta{Key: key, Register: 1})
		compare(not, value)
	}
	address := func(p netip.Prefix, offset4, offset6 uint32, not bool) {
		load := expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset4, Len: 4}
		if p.Addr().Is6() {
			load.Offset, load.Len = offset6, 16
		}
		say(&load)
		if p.Bits() < p.Addr().BitLen() {
			mask := make([]byte, load.Len)
			for i := range p.Bits() {
				mask[i/8] |= 0x80 >> (i % 8)
			}
			say(&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: load.Len, Mask: mask, Xor: make([]byte, load.Len)})
		}
		compare(not, p.Masked().Addr().AsSlice())
	}
	port := func(offset uint32, not bool, port uint16) {
		say(&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 2})
		compare(not, binary.BigEndian.AppendUint16(nil, port))
	}
	native := func(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }

	if r.Family != 0 {
		protocol := byte(unix.NFPROTO_IPV4)
		if r.Family == IPv6 {
			protocol = unix.NFPROTO_IPV6
		}
		meta(expr.MetaKeyNFPROTO, false, []byte{protocol})
	}
	if r.In != "" {
		meta(expr.MetaKeyIIFNAME, false, interfaceName(r.In))
	}
	if r.Out != "" {
		meta(expr.MetaKeyOIFNAME, false, interfaceName(r.Out))
	}
	if r.Protocol != "" {
		protocol := byte(unix.IPPROTO_TCP)
		if r.Protocol == "udp" {
			protocol = unix.IPPROTO_UDP
		}
		meta(expr.MetaKeyL4PROTO, false, []byte{protocol})
	}
	if r.Source.IsValid() {
		address(r.Source, 12, 8, false)
	}
	if r.Destination.IsValid() {
		address(r.Destination, 16, 24, r.NotDestination)
	}
	if r.SourcePort != 0 {
		port(0, false, r.SourcePort)
	}
	for _, p := range r.Ports {
		port(2, r.NotPorts, p)
	}
	for _, o := range r.Owners {
		key := expr.MetaKeySKUID
		if o.Group {
			key = expr.MetaKeySKGID
		}
		meta(key, o.Not, native(o.ID))
	}
	if r.Match.Mark != 0 {
		meta(expr.MetaKeyMARK, r.NotMark, native(r.Match.Mark))
	}
	if r.ConnMark != 0 {
		say(&expr.Ct{Key: expr.CtKeyMARK, Register: 1})
		compare(false, native(r.ConnMark))
	}
	if r.State != "" {
		bits := uint32(0)
		for name := range strings.SplitSeq(r.State, ",") {
			bits |= map[string]uint32{"INVALID": expr.CtStateBitINVALID, "RELATED": expr.CtStateBitRELATED, "ESTABLISHED": expr.CtStateBitESTABLISHED}[name]
		}
		say(&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
			&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: native(bits), Xor: native(0)})
		compare(true, native(0))
	}
	say(&expr.Counter{})
	return append(list, r.Target.expressions(r.Family)...)
}

func (t Target) expressions(f Family) []expr.Any {
	value := func(b []byte) expr.Any { return &expr.Immediate{Register: 1, Data: b} }
	port := value(binary.BigEndian.AppendUint16(nil, t.Port))
	mark := []expr.Any{value(binary.NativeEndian.AppendUint32(nil, t.Mark)), &expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: 1}}
	switch t.Kind {
	case Jump:
		return []expr.Any{&expr.Verdict{Kind: expr.VerdictJump, Chain: nftChain(t.Chain)}}
	case ToPort:
		return []expr.Any{port, &expr.Redir{RegisterProtoMin: 1, Flags: unix.NF_NAT_RANGE_PROTO_SPECIFIED}}
	case ToProxy:
		family := byte(unix.NFPROTO_IPV4)
		if f == IPv6 {
			family = unix.NFPROTO_IPV6
		}
		to := []expr.Any{port, &expr.TProxy{Family: family, TableFamily: unix.NFPROTO_INET, RegPort: 1}}
		return slices.Concat(to, mark, []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}})
	case SetMark:
		return mark
	case SaveMark:
		return []expr.Any{&expr.Meta{Key: expr.MetaKeyMARK, Register: 1}, &expr.Ct{Key: expr.CtKeyMARK, SourceRegister: true, Register: 1}}
	case RestoreMark:
		return []expr.Any{&expr.Ct{Key: expr.CtKeyMARK, Register: 1}, &expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: 1}}
	case SetZone:
		return []expr.Any{value(binary.NativeEndian.AppendUint16(nil, t.Zone)), &expr.Ct{Key: expr.CtKeyZONE, SourceRegister: true, Register: 1}}
	case Accept:
		return []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}}
	case Drop:
		return []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}}
	}
	return []expr.Any{&expr.Verdict{Kind: expr.VerdictReturn}}
}

// interfaceName is a name as the kernel compares it: all of its 16 bytes, or only those before a + at the end.
func interfaceName(name string) []byte {
	if begin, ok := strings.CutSuffix(name, "+"); ok {
		return []byte(begin)
	}
	return append([]byte(name), make([]byte, unix.IFNAMSIZ-len(name))...)
}
