package push_test

// javaHomes: key, its partition of 12 and of 7.
var javaHomes = []struct {
	key       string
	of12, of7 int32
}{
	{"1", 3, 2},
	{"42", 4, 3},
	{"user-7", 8, 2},
	{"alice", 9, 1},
	{"Zürich", 1, 2},
	{"a-rather-long-user-id-0123456789", 8, 6},
	{"日本語", 10, 6},
	{"xéy", 0, 5},
}
