-- Publishes messages to queues, other replicas and chosen connections. Messages of many publishers share a call. A message
-- with a dedup key, a retained one and one for chosen connections has a call of its own ("single").
-- ARGV: named arguments, then four lists, each behind its length: forwards (replica, messages)*, directs (replica, client,
--   options)*, sessions (client)*, messages (message, receivers, (which session, options)*)*
-- Named: replica; batch; lossy (the messages are of QoS 0); single, and with it retain (set or clear), topic, and
--   dedup (inbound: a packet id, will, orphan: a message of a shared subscription, once), token, client, epoch, id
-- Reply: status, a bit for each forward and direct that was skipped, the receivers (counted from 0) whose queue is full,
--   of a single message the number that each receiver's queue gave it (-1: none), and the keys that were broken
local arguments, at = named_arguments()
local me, batch, lossy, single = arguments.replica, arguments.batch, arguments.lossy, arguments.single
local forwards, forwards_at = tonumber(ARGV[at]), at + 1
at = forwards_at + 2 * forwards
local directs, directs_at = tonumber(ARGV[at]), at + 1
at = directs_at + 3 * directs
local session_count, sessions_at = tonumber(ARGV[at]), at + 1
at = sessions_at + session_count
local message_count, messages_at = tonumber(ARGV[at]), at + 1

-- Replicas with a lease, and those of them whose inbox has room. A message of QoS 0 skips a full inbox; any other waits as
-- a whole, and with it the messages behind it in its batch, so that a publisher's messages keep their order.
local listens, open = {}, {}
local function look_up(replica)
  if listens[replica] ~= nil then return end
  listens[replica] = redis.call('EXISTS', P .. 'lease:' .. replica) == 1
  open[replica] = listens[replica] and has_room(replica)
end
local skipped, crowded = 0, false
local function check_room(n, replica)
  look_up(replica)
  if not listens[replica] or open[replica] then return end
  crowded = true
  -- Lua has no larger whole numbers.
  if n <= 52 then skipped = skipped + 2 ^ (n - 1) end
end
for n = 1, forwards do check_room(n, ARGV[forwards_at + 2 * n - 2]) end
for n = 1, directs do check_room(forwards + n, ARGV[directs_at + 3 * n - 3]) end
if forwards + directs > 0 and not lossy then
  if crowded then
    redis.call('SET', P .. 'stop:' .. batch, 1, 'EX', 60)
    return { NO_ROOM }
  end
  if redis.call('EXISTS', P .. 'stop:' .. batch) == 1 then return { NO_ROOM } end
end

-- Claims the dedup key; a status if the message was published before.
local function claim_dedup_key(kind, token, client, epoch, id)
  local claimed_by = nil
  if kind == 'inbound' then
    if not is_held(me, client, epoch) then return FENCED end
    local key = P .. 'i:' .. client
    if session_call('HSETNX', key, id, token) == 0 then claimed_by = redis.call('HGET', key, id) end
  elseif kind == 'will' then
    local key = P .. 'w:' .. client .. ':' .. epoch
    if not redis.call('SET', key, token, 'NX', 'EX', 600) then
      claimed_by = redis.call('GET', key)
    else
      if stored_will(client) ~= epoch then return REPEATED end
      redis.call('HDEL', P .. 'will', client)
      redis.call('ZREM', P .. 'due', client)
    end
  elseif kind == 'orphan' then
    local key = P .. 'l:' .. id
    if not redis.call('SET', key, token, 'NX', 'EX', 600) then
      claimed_by = redis.call('GET', key)
    elseif redis.call('XDEL', P .. 'left', id) == 0 then
      return REPEATED
    end
  elseif kind == 'once' then
    if not redis.call('SET', P .. 'o:' .. token, '1', 'NX', 'EX', 600) then claimed_by = token end
  end
  if claimed_by == token then return DONE_BEFORE end
  return claimed_by and REPEATED
end

-- Retains a message, or clears the retained one.
local function retain(how, topic, message)
  local before = redis.call('HSTRLEN', P .. 'ret', topic)
  if how == 'set' then
    local bytes = tonumber(redis.call('GET', P .. 'retb') or '0')
    local full = before == 0 and redis.call('HLEN', P .. 'ret') >= LIMITS.retained_messages
    if full or bytes - before + #message > LIMITS.retained_bytes then return NOT_RETAINED end
    redis.call('HSET', P .. 'ret', topic, message)
    local ends = message_end(message)
    if ends then
      redis.call('ZADD', P .. 'retx', ends, topic)
    elseif before > 0 then
      redis.call('ZREM', P .. 'retx', topic)
    end
    redis.call('INCRBY', P .. 'retb', #message - before)
  elseif before > 0 then
    redis.call('HDEL', P .. 'ret', topic)
    redis.call('ZREM', P .. 'retx', topic)
    redis.call('DECRBY', P .. 'retb', before)
  end
  record_change('t', 'r', 'm', message, 'o', me)
  return DONE
end

local status = DONE
if arguments.dedup then
  local refused =
    claim_dedup_key(arguments.dedup, arguments.token, arguments.client, arguments.epoch, arguments.id)
  if refused then return { refused } end
end
if arguments.retain then status = retain(arguments.retain, arguments.topic, ARGV[messages_at]) end

-- The length of a queue is kept with its session. (After a failure it may be too large, until the queue is read.)
-- A replica gets the messages of the sessions that it holds in its inbox, in the order of their numbers; those of a single
-- message for its own sessions come with the reply. A session that is behind reads its queue instead, and is woken where
-- the inbox has no room.
local sessions, inboxes = {}, {}
for n = 1, session_count do
  local client = ARGV[sessions_at + n - 1]
  local key, queue = P .. 's:' .. client, P .. 'q:' .. client
  local s = session_fields(key, 'owner', 'bytes', 'woken', 'seq', 'epoch', 'length')
  local owner, woken = s[1], s[3] == '1'
  local session = {
    client = client, key = key, queue = queue, owner = owner, bytes = tonumber(s[2] or '0'),
    seq = tonumber(s[4] or '0'), epoch = s[5], length = tonumber(s[6] or '0'),
    count = 0, fresh = {}, shares = not owner or owner == '' or woken,
  }
  if owner and owner ~= '' and not woken and not (single and owner == me) then
    look_up(owner)
    if open[owner] then
      session.inbox = inboxes[owner] or { count = 0, last = 0, messages = {}, sessions = {} }
      inboxes[owner], session.places = session.inbox, {}
    else
      session.wakes, session.shares = true, true
    end
  end
  sessions[n] = session
end
local queue_messages, queue_bytes = LIMITS.queue_messages, LIMITS.queue_bytes
local added = 0
local all_bytes = session_count > 0 and tonumber(redis.call('GET', P .. 'qb') or '0') or 0
if all_bytes >= LIMITS.queued_bytes then queue_messages = 0 end
-- Whether a queue has room, once what has expired in it is gone.
local now = nil
local function makes_room(to)
  if to.is_purged or to.count > 0 then return false end
  to.is_purged = true
  if not now then
    local time = redis.call('TIME')
    now = time[1] * 1000 + math.floor(time[2] / 1000)
  end
  if tonumber(redis.call('ZSCORE', P .. 'qexp', to.client) or now + 1) > now then return false end
  remove_expired(to.client, now)
  local s = redis.call('HMGET', to.key, 'bytes', 'length')
  to.bytes, to.length = tonumber(s[1] or '0'), tonumber(s[2] or '0')
  return to.length < queue_messages and to.bytes < queue_bytes
end
-- Messages that wait in several queues, each stored once; an entry has what stands for it instead (common.lua). A session
-- that is connected and not behind has a copy of its own: it is acknowledged soon, and sharing would double its cost.
local bodies = {}
local function share_body(message, ends, holders)
  local id = redis.call('INCR', P .. 'body')
  bodies[#bodies + 1] = { P .. 'b:' .. id, message, #holders }
  added = added + #holders * LIMITS.shared_entry_bytes
  for _, holder in ipairs(holders) do
    local to, nth = holder[1], holder[2]
    to.shared = to.shared or { count = 0, bytes = 0, entries = {}, index = {} }
    local shared, number = to.shared, to.seq + nth
    shared.count, shared.bytes = shared.count + 1, shared.bytes + #message
    shared.entries[nth] = id .. ':' .. #message .. ':' .. (ends or '')
    shared.index[2 * shared.count - 1], shared.index[2 * shared.count] = number, number .. ':' .. id .. ':' .. #message
  end
end
local refused, numbers, receiver = {}, {}, 0
at = messages_at
for n = 1, message_count do
  local message, size = ARGV[at], #ARGV[at]
  local ends = message_end(message)
  local behind = at + 2 + 2 * tonumber(ARGV[at + 1])
  local holders = size >= LIMITS.shared_bytes and {} or nil
  for at = at + 2, behind - 1, 2 do
    local to, options = sessions[tonumber(ARGV[at])], ARGV[at + 1]
    local number = -1
    if not to.owner then
      -- The session is gone.
    elseif (to.length < queue_messages and to.bytes < queue_bytes) or makes_room(to) then
      if ends and (not to.ends or ends < to.ends) then to.ends = ends end
      local fresh, nth = to.fresh, to.count + 1
      to.count, to.length, to.bytes = nth, to.length + 1, to.bytes + size
      if holders and to.shares then holders[#holders + 1] = { to, nth } else added = added + size end
      fresh[2 * nth - 1], fresh[2 * nth] = message, options
      number = to.seq + nth
      local inbox = to.inbox
      if inbox then
        if inbox.last ~= n then
          inbox.last, inbox.count = n, inbox.count + 1
          inbox.messages[inbox.count] = message
          inbox.place = struct.pack('>I2', inbox.count - 1)
        end
        to.places[nth] = inbox.place .. options
      end
    else
      refused[#refused + 1] = receiver
    end
    receiver = receiver + 1
    if single then numbers[receiver] = number end
  end
  if holders and #holders > 0 then added = added + size end
  if holders and #holders > 1 then share_body(message, ends, holders) end
  at = behind
end
if added > 0 then redis.call('INCRBY', P .. 'qb', added) end
-- The numbers first: if a later command fails, none is given twice.
for _, to in ipairs(sessions) do
  if to.count > 0 then
    if to.wakes then
      redis.call('HSET', to.key, 'seq', to.seq + to.count, 'bytes', to.bytes, 'length', to.length, 'woken', 1)
    else
      redis.call('HSET', to.key, 'seq', to.seq + to.count, 'bytes', to.bytes, 'length', to.length)
    end
  end
end
for _, body in ipairs(bodies) do redis.call('HSET', body[1], 'm', body[2], 'n', body[3]) end
for _, to in ipairs(sessions) do
  local fresh, number, queue, shared = to.fresh, to.seq, to.queue, to.shared
  if shared then
    redis.call('HINCRBY', to.key, 'shared', shared.count)
    redis.call('HINCRBY', to.key, 'shared_bytes', shared.bytes)
    for first = 1, #shared.index, 1000 do
      session_call('ZADD', P .. 'k:' .. to.client, unpack(shared.index, first, math.min(#shared.index, first + 999)))
    end
  end
  for n = 1, to.count do
    local entry = shared and shared.entries[n]
    session_call('XADD', queue, (number + n) .. '-0', entry and 'b' or 'm', entry or fresh[2 * n - 1], 'h', fresh[2 * n])
  end
  if to.ends then redis.call('ZADD', P .. 'qexp', 'LT', to.ends, to.client) end
  if to.wakes and to.count > 0 then
    redis.call('XADD', P .. 'in:' .. to.owner, '*', 'k', 'w', 'c', to.client)
  elseif to.inbox and to.count > 0 then
    local parts = to.inbox.sessions
    parts[#parts + 1] = struct.pack('>I8I8I4I2', tonumber(to.epoch), number + 1, to.count, #to.client)
    parts[#parts + 1] = to.client
    parts[#parts + 1] = table.concat(to.places)
  end
end
for owner, inbox in pairs(inboxes) do
  if inbox.count > 0 then
    local messages, numbered = table.concat(inbox.messages), table.concat(inbox.sessions)
    notify(owner, #messages + #numbered, 'k', 'n', 'm', messages, 'n', numbered)
  end
end
for n = 1, forwards do
  local to, pack = ARGV[forwards_at + 2 * n - 2], ARGV[forwards_at + 2 * n - 1]
  if open[to] then notify(to, #pack, 'k', 'p', 'm', pack) end
end
for at = directs_at, directs_at + 3 * directs - 1, 3 do
  local to, message = ARGV[at], ARGV[messages_at]
  if open[to] then notify(to, #message, 'k', 'f', 'm', message, 'c', ARGV[at + 1], 'h', ARGV[at + 2]) end
end
return { status, skipped, refused, numbers, broken }
