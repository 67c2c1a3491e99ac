package custody

// typeTable keeps one copy of each business type that is in use. Producers choose
// types, so that one that is out of use is forgotten.
type typeTable struct {
	slots  slab[usedType]
	byName map[string]ref
}

type usedType struct {
	name  string
	users int32
}

// intern returns the slot of a type and holds it.
func (t *typeTable) intern(name string) ref {
	r, ok := t.byName[name]
	if !ok {
		var slot *usedType
		r, slot = t.slots.take()
		slot.name = name
		t.byName[name] = r
	}
	t.hold(r)
	return r
}

func (t *typeTable) name(r ref) string { return t.slots.at(r).name }

func (t *typeTable) hold(r ref) {
	if r != none {
		t.slots.at(r).users++
	}
}

func (t *typeTable) release(r ref) {
	if r == none {
		return
	}
	slot := t.slots.at(r)
	if slot.users--; slot.users == 0 {
		delete(t.byName, slot.name)
		t.slots.give(r)
	}
}
