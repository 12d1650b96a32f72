// Package manifest reads objects for tests, briefly written: an object need not say its apiVersion, and the mesh's own configuration stands beside the
// others, as an object. Whatever is wrong fails the test.
package manifest
