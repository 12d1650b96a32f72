// Package rules holds the house to its plan: who imports whom, that every room says what it is, and what names it may not have. It
// tests the tree, not behaviour.
package rules
