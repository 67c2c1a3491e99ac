package push

// Home is the partition a user lives in: murmur2 of the key modulo the number of
// partitions, the default partitioner of Kafka's Java client. Requests, receipts
// of connecting and waits of a user are all at home.
//
// Source: org.apache.kafka.common.utils.Utils.murmur2 and
// BuiltInPartitioner.partitionForKey (Apache Kafka, Java client).
func Home[T string | []byte](user T, partitions int32) int32 {
	if partitions <= 0 {
		return 0
	}
	return int32(murmur2(user)&0x7fffffff) % partitions
}

// murmur2 is the 32-bit MurmurHash 2 with the seed Kafka uses.
func murmur2[T string | []byte](key T) uint32 {
	const (
		seed = 0x9747b28c
		m    = 0x5bd1e995
		r    = 24
	)
	n := len(key)
	h := uint32(seed) ^ uint32(n) //nolint:gosec // a key is shorter than 4 GiB
	i := 0
	for ; n-i >= 4; i += 4 {
		k := uint32(key[i]) | uint32(key[i+1])<<8 | uint32(key[i+2])<<16 | uint32(key[i+3])<<24
		k *= m
		k ^= k >> r
		k *= m
		h *= m
		h ^= k
	}
	switch n - i {
	case 3:
		h ^= uint32(key[i+2]) << 16
		fallthrough
	case 2:
		h ^= uint32(key[i+1]) << 8
		fallthrough
	case 1:
		h ^= uint32(key[i])
		h *= m
	}
	h ^= h >> 13
	h *= m
	h ^= h >> 15
	return h
}
