package source

import (
	"net/url"
	"slices"

	extensions "istio.io/api/extensions/v1alpha1"
	networkingbeta "istio.io/api/networking/v1beta1"
	telemetry "istio.io/api/telemetry/v1alpha1"
	typebeta "istio.io/api/type/v1beta1"
)

func (c *checker) proxyConfig(p *networkingbeta.ProxyConfig) {
	c.selector("selector.matchLabels", p.Selector != nil, p.Selector.GetMatchLabels())
	if p.Concurrency.GetValue() < 0 {
		c.bad("concurrency", "concurrency must be greater than or equal to 0")
	}
}

func (c *checker) telemetry(t *telemetry.Telemetry) {
	c.targets(t.Selector, t.TargetRef, t.TargetRefs)
	providers := func(list []*telemetry.ProviderRef) {
		each(c, "providers", list, func(_ int, p *telemetry.ProviderRef) {
			if p.Name == "" {
				c.bad("name", "providers.name may not be empty")
			}
		})
	}
	each(c, "metrics", t.Metrics, func(_ int, m *telemetry.Metrics) {
		providers(m.Providers)
		if m.ReportingInterval.AsDuration() != 0 {
			c.fault("reportingInterval", duration(m.ReportingInterval))
		}
		each(c, "overrides", m.Overrides, func(_ int, o *telemetry.MetricsOverrides) {
			if custom, is := o.Match.GetMetricMatch().(*telemetry.MetricSelector_CustomMetric); is && custom.CustomMetric == "" {
				c.bad("match.customMetric", "customMetric may not be empty")
			}
			eachKey(c, "tagOverrides", o.TagOverrides, func(name string, tag *telemetry.MetricsOverrides_TagOverride) {
				if name == "" {
					c.warn("", "tagOverrides.name may not be empty")
				}
				switch upsert := tag.Operation == telemetry.MetricsOverrides_TagOverride_UPSERT; {
				case upsert && tag.Value == "":
					c.bad("value", "tagOverrides.value must be set when operation is UPSERT")
				case !upsert && tag.Value != "":
					c.bad("value", "tagOverrides.value may only be set when operation is UPSERT")
				}
			})
		})
	})
	if len(t.Tracing) > 1 {
		c.warn("tracing", "multiple tracing is not currently supported")
	}
	each(c, "tracing", t.Tracing, func(_ int, r *telemetry.Tracing) {
		if len(r.Providers) > 1 {
			c.warn("providers", "multiple providers is not currently supported")
		}
		providers(r.Providers)
		if p := r.RandomSamplingPercentage.GetValue(); !(p >= 0 && p <= 100) {
			c.bad("randomSamplingPercentage", "must be in range [0.0, 100.0]")
		}
		eachKey(c, "customTags", r.CustomTags, func(name string, tag *telemetry.Tracing_CustomTag) {
			if name == "" {
				c.bad("", "tag name may not be empty")
			}
			switch v := tag.Type.(type) {
			case *telemetry.Tracing_CustomTag_Literal:
				if v.Literal.GetValue() == "" {
					c.bad("literal.value", "literal tag value may not be empty")
				}
			case *telemetry.Tracing_CustomTag_Header:
				if v.Header.GetName() == "" {
					c.bad("header.name", "header tag name may not be empty")
				}
			case *telemetry.Tracing_CustomTag_Environment:
				if v.Environment.GetName() == "" {
					c.bad("environment.name", "environment tag name may not be empty")
				}
			}
		})
	})
	each(c, "accessLogging", t.AccessLogging, func(_ int, l *telemetry.AccessLogging) {
		providers(l.Providers)
		// Whether an expression is one of CEL's the proxy's reader of it decides; here it is only bounded.
		if f := l.Filter; f != nil && (f.Expression == "" || len(f.Expression) > maxExpression) {
			c.bad("filter.expression", "must be a CEL expression of at most %d bytes", maxExpression)
		}
	})
}

const maxExpression = 16 << 10

func (c *checker) wasmPlugin(w *extensions.WasmPlugin) {
	c.targets(w.Selector, w.TargetRef, w.TargetRefs)
	if w.Url == "" {
		c.bad("url", "url field needs to be set")
	} else {
		c.wasmURL(w.Url)
	}
	if s := w.Sha256; s != "" {
		good := len(s) == 64
		for i := range len(s) {
			good = good && (s[i] >= '0' && s[i] <= '9' || s[i] >= 'a' && s[i] <= 'f')
		}
		if !good {
			c.bad("sha256", "sha256 field must match [a-f0-9]{64} pattern")
		}
	}
	if len(w.ImagePullSecret) > 253 {
		c.bad("imagePullSecret", "must be at most 253 characters long")
	}
	if len(w.PluginName) > 256 {
		c.bad("pluginName", "must be at most 256 characters long")
	}
	seen := map[string]bool{}
	each(c, "vmConfig.env", w.VmConfig.GetEnv(), func(_ int, e *extensions.EnvVar) {
		switch {
		case e.Name == "" || len(e.Name) > 256:
			c.bad("name", "must be 1 to 256 characters long")
		case seen[e.Name]:
			c.bad("name", "duplicate env %s", short(e.Name))
		case e.ValueFrom != extensions.EnvValueSource_INLINE && e.Value != "":
			c.bad("value", "value may only be set when valueFrom is INLINE")
		}
		seen[e.Name] = true
	})
	each(c, "match", w.Match, func(_ int, s *extensions.WasmPlugin_TrafficSelector) {
		each(c, "ports", s.Ports, func(_ int, p *typebeta.PortSelector) { c.fault("number", port(p.Number)) })
	})
}

// wasmURL checks where a plug-in is fetched. One without a scheme is an image.
func (c *checker) wasmURL(s string) {
	u, err := url.ParseRequestURI(s)
	if err != nil {
		if u, err = url.ParseRequestURI("oci://" + s); err != nil {
			c.bad("url", "%q is no URL", short(s))
			return
		}
	}
	if !slices.Contains([]string{"", "file", "http", "https", "oci"}, u.Scheme) {
		c.bad("url", "url contains unsupported scheme: %s", short(u.Scheme))
	}
}
