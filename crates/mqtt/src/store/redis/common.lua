-- Functions of several scripts; stands in front of each of them.
-- Keys: s:{client} session (ending: its queue is being let go in parts), usr:{user} the sessions of a user, q:{client} its queue, qb the bytes of all queues,
-- b:{number} a message that several queues share, body the last number, k: those in the queue of a session, r: received
-- (QoS 2 out), i: packet ids (QoS 2 in), sub: subscriptions,
-- own:{replica} sessions held, in:{replica} inbox, inb: its bytes, lease:{replica}; chg the changes, ver their number,
-- seen the version that each replica has applied,
-- ids all sessions with subscriptions, ret retained messages, retb their bytes, retx when they expire, will and due the wills and when they are
-- due, exp when sessions expire, qexp when the first message of a queue does, left orphaned messages of shared subscriptions; run the server's run that was met last,
-- gen how many runs there were.

-- Arguments by name: how many, then each name and value. Returns them and the place behind them.
local function named_arguments()
  local arguments, behind = {}, 2 + 2 * tonumber(ARGV[1])
  for at = 2, behind - 1, 2 do arguments[ARGV[at]] = ARGV[at + 1] end
  return arguments, behind
end

-- Calls Redis with the key of one session. A key of a wrong type harms its session only: it is deleted, and named in the log
-- of Redis and in that of the replica; then the command is carried out without it.
local broken = {}
local rebuild_index
local function session_call(command, key, ...)
  local reply = redis.pcall(command, key, ...)
  if type(reply) ~= 'table' or not reply.err then return reply end
  if not string.find(reply.err, 'WRONGTYPE', 1, true) then error(reply) end
  redis.log(redis.LOG_WARNING, 'deleted a key of a wrong type: ' .. key)
  redis.call('DEL', key)
  broken[#broken + 1] = key
  if string.sub(key, 1, #P + 2) == P .. 'k:' then rebuild_index(string.sub(key, #P + 3)) end
  return redis.call(command, key, ...)
end

-- The fields of a session.
local function session_fields(key, ...)
  return session_call('HMGET', key, ...)
end

-- Numbers a change of the routes and tells every replica.
local function record_change(...)
  local version = redis.call('INCR', P .. 'ver')
  redis.call('XADD', P .. 'chg', 'MAXLEN', '~', 100000, version .. '-0', ...)
  return version
end

-- Whether (1 or 0) the other replicas have applied the changes up to a version.
local function is_settled(me, version)
  for _, replica in ipairs(redis.call('SMEMBERS', P .. 'replicas')) do
    if replica ~= me and tonumber(redis.call('HGET', P .. 'seen', replica) or '0') < version
      and redis.call('EXISTS', P .. 'lease:' .. replica) == 1 then return 0 end
  end
  return 1
end

-- Whether there is room in the inbox of a replica, which is known to have a lease.
local function has_room(replica)
  return redis.call('XLEN', P .. 'in:' .. replica) < LIMITS.inbox_entries
    and tonumber(redis.call('GET', P .. 'inb:' .. replica) or '0') < LIMITS.inbox_bytes
end

-- Adds an entry to the inbox of a replica. Its bytes are counted until the replica has read it.
local function notify(replica, bytes, ...)
  redis.call('XADD', P .. 'in:' .. replica, '*', ...)
  redis.call('INCRBY', P .. 'inb:' .. replica, bytes)
end

-- Whether this replica holds the session under this epoch. (After a failover that lost writes, an epoch may be given
-- again, but not to the same replica before its older connection has ended.)
local function is_held(me, client, epoch)
  local s = session_fields(P .. 's:' .. client, 'epoch', 'owner')
  return s[1] == epoch and s[2] == me
end

-- How often the server has restarted, or a failover has replaced it.
local function generation()
  return redis.call('GET', P .. 'gen') or '0'
end

-- A message in several queues is stored once, with the number of those queues. An entry of a queue has it (m), or what stands
-- for it (b): its number, bytes and expiry. The session's index (k:, by number in the queue) names what has to be let go when
-- entries go. A script is wholly carried out, or not at all: a message goes with the last entry that stands for it, whichever
-- replica dies.

-- What an entry that stands for a shared message says: its number, bytes, and expiry or nothing.
local function shared_parts(entry)
  if entry[2][1] ~= 'b' then return nil end
  local id, bytes, ends = string.match(entry[2][2], '^(%d+):(%d+):(%d*)$')
  return id, tonumber(bytes or '0'), tonumber(ends or '')
end

-- Makes the index of a session anew from its queue, so that no message is held for ever because an index was damaged.
function rebuild_index(client)
  for _, entry in ipairs(session_call('XRANGE', P .. 'q:' .. client, '-', '+')) do
    local id, bytes = shared_parts(entry)
    if id then
      local number = string.match(entry[1], '^%d+')
      redis.call('ZADD', P .. 'k:' .. client, number, number .. ':' .. id .. ':' .. bytes)
    end
  end
end

-- The message of an entry of a queue; nil: it was damaged.
local function entry_message(entry)
  local id = shared_parts(entry)
  if not id then return entry[2][1] == 'm' and entry[2][2] or nil end
  return session_call('HGET', P .. 'b:' .. id, 'm') or nil
end

-- How many shared messages this call has let go.
local let_go = 0

-- Lets go of the shared messages with these numbers in the queue of a session, of so many at most. Returns how many there were,
-- and their bytes.
local function release_bodies(client, from, to, most)
  local index, released = P .. 'k:' .. client, 0
  local shared = session_call('ZRANGEBYSCORE', index, from, to, 'LIMIT', 0, most or -1)
  for _, one in ipairs(shared) do
    local id, bytes = string.match(one, '^%d+:(%d+):(%d+)$')
    local body = P .. 'b:' .. id
    local holders = session_call('HINCRBY', body, 'n', -1)
    if holders <= 0 then redis.call('DEL', body) end
    if holders == 0 then redis.call('DECRBY', P .. 'qb', bytes) end
    released = released + tonumber(bytes)
  end
  for first = 1, #shared, 1000 do
    redis.call('ZREM', index, unpack(shared, first, math.min(#shared, first + 999)))
  end
  if #shared > 0 then redis.call('DECRBY', P .. 'qb', #shared * LIMITS.shared_entry_bytes) end
  let_go = let_go + #shared
  return #shared, released
end

-- Removes entries from the queue of a session.
local function remove_entries(client, entries)
  if #entries == 0 then return end
  local key, gone, own, shared, shared_bytes = P .. 's:' .. client, {}, 0, 0, 0
  for n, entry in ipairs(entries) do gone[n] = entry[1] end
  -- Made anew from the queue if it is damaged, before entries leave that.
  session_call('ZCARD', P .. 'k:' .. client)
  redis.call('XDEL', P .. 'q:' .. client, unpack(gone))
  for _, entry in ipairs(entries) do
    if entry[2][1] == 'b' then
      local number = string.match(entry[1], '^%d+')
      local count, bytes = release_bodies(client, number, number)
      shared, shared_bytes = shared + count, shared_bytes + bytes
    else
      own = own + #entry[2][2]
    end
  end
  local s = session_fields(key, 'bytes', 'length', 'shared', 'shared_bytes')
  local bytes, all_shared = tonumber(s[1] or '0'), tonumber(s[4] or '0')
  own = math.min(own, math.max(bytes - all_shared, 0))
  redis.call('HSET', key, 'bytes', math.max(bytes - own - shared_bytes, 0), 'length', math.max(tonumber(s[2] or '0') - #gone, 0),
    'shared', math.max(tonumber(s[3] or '0') - shared, 0), 'shared_bytes', math.max(all_shared - shared_bytes, 0))
  redis.call('DECRBY', P .. 'qb', own)
end

-- Whether a session has shared subscriptions.
local function has_share(client)
  for _, filter in ipairs(session_call('HKEYS', P .. 'sub:' .. client)) do
    if string.sub(filter, 1, 7) == '$share/' then return true end
  end
  return false
end

-- Messages that a member of a shared subscription has not acknowledged go to other members: at QoS 2 only those that were
-- never sent.
local function release_shared(client)
  if not has_share(client) then return end
  local sent = tonumber(session_fields(P .. 's:' .. client, 'sent')[1] or '0')
  for _, entry in ipairs(session_call('XRANGE', P .. 'q:' .. client, '-', '+')) do
    local how = entry[2][4]
    local qos, is_shared = string.byte(how, 3), (string.byte(how, 4) or 0) % 4 >= 2
    local number = tonumber(string.match(entry[1], '^%d+'))
    local message = is_shared and (qos == 1 or number > sent) and entry_message(entry)
    if message then redis.call('XADD', P .. 'left', '*', 'm', message, 'h', how) end
  end
end

-- When a message expires, in milliseconds since 1970; nil: never. The time stands behind length, form and flags.
local NEVER = string.rep('\255', 8)
local function message_end(message)
  local ends = string.sub(message, 7, 14)
  if ends ~= NEVER then return (struct.unpack('>I8', ends)) end
end

-- Removes expired messages from a queue. A call looks at some of them only; the session keeps how far it came, and when
-- the next of those that it has seen will expire. Returns how many were removed.
local PURGE_COUNT = 1000
local function remove_expired(client, now)
  local key = P .. 's:' .. client
  local s = session_fields(key, 'purged', 'ends')
  local entries = session_call('XRANGE', P .. 'q:' .. client, s[1] or '-', '+', 'COUNT', PURGE_COUNT)
  local ends, gone = tonumber(s[2] or ''), {}
  for _, entry in ipairs(entries) do
    local id, _, ends_at = shared_parts(entry)
    if not id then ends_at = message_end(entry[2][2]) end
    if ends_at and ends_at <= now then
      gone[#gone + 1] = entry
    elseif ends_at and (not ends or ends_at < ends) then
      ends = ends_at
    end
  end
  remove_entries(client, gone)
  if #entries == PURGE_COUNT then
    redis.call('HSET', key, 'purged', '(' .. entries[PURGE_COUNT][1], 'ends', ends or '')
  else
    redis.call('HDEL', key, 'purged', 'ends')
    if ends then redis.call('ZADD', P .. 'qexp', ends, client) else redis.call('ZREM', P .. 'qexp', client) end
  end
  return #gone
end

-- Deletes a session and its subscriptions.
local function delete_session(client, origin)
  release_shared(client)
  release_bodies(client, '-inf', '+inf')
  local s = session_fields(P .. 's:' .. client, 'user', 'bytes', 'shared_bytes')
  if s[1] then redis.call('SREM', P .. 'usr:' .. s[1], client) end
  local own = tonumber(s[2] or '0') - tonumber(s[3] or '0')
  if own > 0 then redis.call('DECRBY', P .. 'qb', own) end
  redis.call('DEL', P .. 's:' .. client, P .. 'q:' .. client, P .. 'k:' .. client, P .. 'r:' .. client, P .. 'i:' .. client, P .. 'sub:' .. client)
  redis.call('ZREM', P .. 'exp', client)
  redis.call('ZREM', P .. 'qexp', client)
  if redis.call('SREM', P .. 'ids', client) == 1 then
    return record_change('t', 'g', 'c', client, 'o', origin)
  end
end

-- A will is stored as epoch:delay:message.
local function stored_will(client)
  local will = redis.call('HGET', P .. 'will', client)
  if not will then return nil end
  local epoch, delay, at = string.match(will, '^(%d+):(%d+):()')
  if not epoch then return nil end
  return epoch, tonumber(delay), string.sub(will, at)
end

-- A session without a connection: it ends now (rest_until -1) or expires later; its will is dropped (base -1) or due
-- after its delay, counted from base.
local function detach(client, epoch, owner, rest_until, base, origin)
  redis.call('SREM', P .. 'own:' .. owner, client)
  local ends = nil
  if rest_until == -1 then
    delete_session(client, origin)
    ends = base
  else
    session_call('HSET', P .. 's:' .. client, 'owner', '', 'lasting', 1)
    redis.call('ZADD', P .. 'exp', rest_until, client)
    if redis.call('SISMEMBER', P .. 'ids', client) == 1 then
      record_change('t', 'm', 'c', client, 'w', '', 'l', 1, 'o', origin)
    end
    ends = rest_until
  end
  local will_epoch, delay = stored_will(client)
  if will_epoch == epoch then
    if base == -1 then
      redis.call('HDEL', P .. 'will', client)
      redis.call('ZREM', P .. 'due', client)
    else
      local due = base + delay * 1000
      if ends < due then due = ends end
      redis.call('ZADD', P .. 'due', due, client)
    end
  end
end
