package upstream

import "testing"

// The values are of the reference implementations.
func TestHashes(t *testing.T) {
	for _, test := range []struct {
		text     string
		xx, seed uint64
	}{
		{"", 0xef46db3751d8e999, 0xd5afba1336a3be4b},
		{"a", 0xd24ec4f1a98c6e5b, 0},
		{"foobar", 0xa2aa05ed9085aaf9, 0},
		{"Nobody inspects the spammish repetition", 0xfbcea83c8a378bf1, 0},
	} {
		if got := xxHash64([]byte(test.text), 0); got != test.xx {
			t.Errorf("%q: %x, want %x", test.text, got, test.xx)
		}
		if got := xxHash64([]byte(test.text), 1); test.seed != 0 && got != test.seed {
			t.Errorf("%q with a seed: %x, want %x", test.text, got, test.seed)
		}
	}
	var m twister
	m.seed(5489)
	for range 9999 {
		m.next()
	}
	if got := m.next(); got != 4123659995 { // as the C++ standard wants of its mt19937
		t.Errorf("the 10,000th number is %d", got)
	}
}
