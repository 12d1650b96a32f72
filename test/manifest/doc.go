// Package manifest reads objects from YAML for tests, as they come: nothing is checked but that it can be read. It is not for what people write.
package manifest
