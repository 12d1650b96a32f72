// Package stored is the objects that were applied to weftd itself, as the store has them: their records, and the following of them. It is not for
// who may apply what, nor for what they were before.
package stored
