package directory

import "github.com/redis/go-redis/v9"

// Every script touches the one key it is given, so that it runs on a cluster
// whatever the key's slot is. All times are the server's own, in milliseconds:
// no node's clock is compared with another's. now is defined for each.
const now = `
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
`

func script(source string) *redis.Script { return redis.NewScript(now + source) }

// scripts are those of one client.
type scripts struct {
	begin, hold, release, live, claim, forget *redis.Script // on lives
	index, enter, leave                       *redis.Script // on a life's sessions, on a user
	name, renew, drop                         *redis.Script // on a node
	list                                      *redis.Script // on the list of nodes
	unlock                                    *redis.Script // on the sweeper's lock
}

func newScripts() scripts {
	return scripts{
		// A negative score ends a life for good; its amount is still when the lease
		// ends, or would have ended, so that no write under it can be yet to come
		// when it is swept. A life before this one that an emptied Redis forgot is ended
		// in the same way: something may have been written in its name since.
		begin: script(`
local mine = ARGV[1] .. '/'
local life = now
if ARGV[3] ~= '' then redis.call('ZADD', KEYS[1], 'NX', '-' .. ARGV[4], ARGV[3]) end
for _, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  if string.sub(member, 1, #mine) == mine then
    local score = tonumber(redis.call('ZSCORE', KEYS[1], member))
    if score > 0 then redis.call('ZADD', KEYS[1], string.format('%.0f', -score), member) end
    local number = tonumber(string.sub(member, #mine + 1))
    if number and number >= life then life = number + 1 end
  end
end
local till = string.format('%.0f', now + tonumber(ARGV[2]))
life = string.format('%.0f', life)
redis.call('ZADD', KEYS[1], till, mine .. life)
return {life, till}
`),
		// ARGV[4] is the end of the lease that the node knows of. The lease had lapsed also
		// when it is only that end which is past: an earlier renewal was carried out too
		// late, and its answer, which said so, was lost. Only a newer life supersedes: an
		// older one that is not over is there when Redis came back with what it had saved
		// before this life began, or when a replica that lagged took over.
		hold: script(`
local score = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or '0')
if score > 0 then
  local till = string.format('%.0f', now + tonumber(ARGV[3]))
  redis.call('ZADD', KEYS[1], till, ARGV[1])
  if score > now and tonumber(ARGV[4]) > now then return {'held', till} end
  return {'lapsed', till}
end
local node = ARGV[2] .. '/'
local mine = tonumber(string.sub(ARGV[1], #node + 1))
for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], 1, '+inf')) do
  local number = string.sub(member, 1, #node) == node and tonumber(string.sub(member, #node + 1))
  if number and number > mine then return {'superseded', '0'} end
end
return {'lost', '0'}
`),
		release: script(`
local score = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or ARGV[2])
if score > 0 then redis.call('ZADD', KEYS[1], string.format('%.0f', -score), ARGV[1]) end
return 1
`),
		live: script(`
return redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. string.format('%.0f', now), '+inf')
`),
		claim: script(`
local before = string.format('%.0f', now - tonumber(ARGV[1]))
for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], 1, before)) do
  redis.call('ZADD', KEYS[1], '-' .. redis.call('ZSCORE', KEYS[1], member), member)
end
return redis.call('ZRANGEBYSCORE', KEYS[1], '-' .. before, -1)
`),
		forget: script(`
local score = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or '0')
if score < 0 then return redis.call('ZREM', KEYS[1], ARGV[1]) end
return 0
`),
		index: script(`
if now > tonumber(ARGV[1]) then return 0 end
for i = 3, #ARGV do redis.call('SADD', KEYS[1], ARGV[i]) end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
`),
		enter: script(`
if now > tonumber(ARGV[1]) then return 0 end
local new = redis.call('HSET', KEYS[1], ARGV[4], ARGV[5])
redis.call(new == 1 and 'HSET' or 'HSETNX', KEYS[1], 'node', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1 + new
`),
		// Whose entry goes leaves 'node' to the newest of the others. Values begin
		// with the time, in a form that sorts as text.
		leave: script(`
if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
local all = redis.call('HGETALL', KEYS[1])
local newest, node, left = '', false, 0
for i = 1, #all, 2 do
  local slash = string.find(all[i], '/', 1, true)
  if slash then
    left = left + 1
    if all[i + 1] >= newest then
      newest, node = all[i + 1], string.sub(all[i], 1, slash - 1)
    end
  end
end
if left == 0 then
  redis.call('DEL', KEYS[1])
else
  redis.call('HSET', KEYS[1], 'node', node)
end
return 1
`),
		name: script(`
local life = tonumber(redis.call('HGET', KEYS[1], 'life') or '0')
if life > tonumber(ARGV[2]) then return 0 end
redis.call('DEL', KEYS[1])
for i = 3, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
`),
		renew: script(`
local life = tonumber(redis.call('HGET', KEYS[1], 'life') or '0')
if life > tonumber(ARGV[2]) then return 0 end
if life < tonumber(ARGV[2]) then return 2 end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
`),
		drop: script(`
if redis.call('HGET', KEYS[1], 'life') ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
`),
		// Names of nodes that have been gone for longer than ARGV[3] leave the list.
		list: script(`
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - tonumber(ARGV[3])))
return redis.call('ZADD', KEYS[1], string.format('%.0f', now + tonumber(ARGV[1])), ARGV[2])
`),
		unlock: script(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
`),
	}
}
