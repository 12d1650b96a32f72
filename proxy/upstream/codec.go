package upstream

import (
	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/telemetry"
	"github.com/weftmesh/weft/wire/http2"
)

// Rows of what is counted of HTTP/2 on one side: the first group under Envoy's names.
const (
	CodecDroppedUnderscores = iota
	CodecGoAwaySent
	CodecHeaderOverflow
	CodecNoStream
	CodecEmptyFrames
	CodecPriorityFlood
	CodecWindowUpdateFlood
	CodecKeepAliveTimeout
	CodecControlFlood
	CodecOutboundFlood
	CodecRejectedUnderscores
	CodecMessagingErrors
	CodecRxReset
	CodecTxReset
	CodecRefusedByPeer
	CodecTrailers
	CodecFlushTimeout
	CodecRefused
	CodecProvoked
)

// CodecStats is the table of these numbers.
var CodecStats = &telemetry.Table{Kind: "http2", Metrics: []telemetry.Metric{
	CodecDroppedUnderscores:  {Name: "dropped_headers_with_underscores"},
	CodecGoAwaySent:          {Name: "goaway_sent"},
	CodecHeaderOverflow:      {Name: "header_overflow"},
	CodecNoStream:            {Name: "headers_cb_no_stream"},
	CodecEmptyFrames:         {Name: "inbound_empty_frames_flood"},
	CodecPriorityFlood:       {Name: "inbound_priority_frames_flood"},
	CodecWindowUpdateFlood:   {Name: "inbound_window_update_frames_flood"},
	CodecKeepAliveTimeout:    {Name: "keepalive_timeout"},
	CodecControlFlood:        {Name: "outbound_control_flood"},
	CodecOutboundFlood:       {Name: "outbound_flood"},
	CodecRejectedUnderscores: {Name: "requests_rejected_with_underscores_in_headers"},
	CodecMessagingErrors:     {Name: "rx_messaging_error"},
	CodecRxReset:             {Name: "rx_reset"},
	CodecTxReset:             {Name: "tx_reset"},
	CodecRefusedByPeer:       {Name: "stream_refused_errors"},
	CodecTrailers:            {Name: "trailers"},
	CodecFlushTimeout:        {Name: "tx_flush_timeout"},
	CodecRefused:             {Name: "streams_refused"},
	CodecProvoked:            {Name: "resets_provoked"},
}}

// CountHTTP2 moves what a codec has counted into such numbers. Most turns have nothing to count.
func CountHTTP2(v *telemetry.Values, c *http2.Counts) {
	if *c == (http2.Counts{}) {
		return
	}
	for row, n := range [...]uint32{
		CodecDroppedUnderscores:  c.DroppedUnderscores,
		CodecGoAwaySent:          c.GoAwaysSent,
		CodecHeaderOverflow:      c.HeaderOverflow,
		CodecNoStream:            c.HeadersWithoutInterest,
		CodecEmptyFrames:         c.EmptyFrames,
		CodecPriorityFlood:       c.PriorityFlood,
		CodecWindowUpdateFlood:   c.WindowUpdateFlood,
		CodecControlFlood:        c.ControlFlood,
		CodecOutboundFlood:       c.OutboundFlood,
		CodecRejectedUnderscores: c.RejectedUnderscores,
		CodecMessagingErrors:     c.MessagingErrors,
		CodecRxReset:             c.ResetsReceived,
		CodecTxReset:             c.ResetsSent,
		CodecRefusedByPeer:       c.RefusedByPeer,
		CodecTrailers:            c.Trailers,
		CodecRefused:             c.Refused,
		CodecProvoked:            c.ResetsProvoked,
	} {
		if n > 0 {
			v.Add(row, uint64(n))
		}
	}
	*c = http2.Counts{}
}

// OptionsHTTP2 is what a codec is told of a configuration. headBytes and headers bound what heads come.
func OptionsHTTP2(c *config.HTTP2, headBytes, headers int) http2.Options {
	o := http2.Options{
		HeaderTableSize:          c.HeaderTable,
		NoTable:                  c.HeaderTable == 0,
		MaxConcurrentStreams:     c.MaxStreams,
		MaxStreamWindow:          c.StreamWindow,
		MaxConnWindow:            c.ConnectionWindow,
		MaxFrameSize:             c.MaxFrame,
		MaxHeadBytes:             headBytes,
		MaxHeaders:               headers,
		EnableConnect:            c.Connect,
		StreamErrors:             c.StreamErrors,
		MaxOutboundFrames:        c.MaxOutbound,
		MaxOutboundControlFrames: c.MaxOutboundControl,
		MaxEmptyFrames:           c.MaxEmpty,
		NoEmptyFrames:            c.MaxEmpty == 0,
		MaxPriorityFrames:        c.MaxPriority,
		NoPriorityFrames:         c.MaxPriority == 0,
		MaxWindowUpdates:         c.MaxWindowUpdates,
	}
	for _, s := range c.Settings {
		o.ExtraSettings = append(o.ExtraSettings, http2.Setting{ID: s.ID, Value: s.Value})
	}
	return o
}
