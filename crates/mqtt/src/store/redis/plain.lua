-- Messages that nothing guards and nobody retains, of many publishers in one call: for queues, and packed for other replicas.
-- ARGV: replica, queue messages, queue bytes, inbox entries, inbox bytes, batch, whether they may be lost,
--   sessions, (client)*, forwards, (replica, messages)*, appended messages, (message, takers, (which session, how)*)*
-- Answers: status (0, or -3: not done, an inbox has no room), a bit for each forward that was passed over, the takers
--   (counted from 0) whose queue is full or gone
local me, most, most_bytes = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local room, room_bytes, batch, may_be_lost = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6], ARGV[7] == '1'
local forwards_at = 9 + tonumber(ARGV[8])
local forwards = tonumber(ARGV[forwards_at])
-- Who listens, and has room: as in publish.lua.
local listens, open = {}, {}
local function look_at(replica)
  if listens[replica] ~= nil then return end
  listens[replica] = redis.call('EXISTS', P .. 'lease:' .. replica) == 1
  open[replica] = listens[replica] and has_room(replica, room, room_bytes)
end
local passed = 0
for n = 1, forwards do
  local to = ARGV[forwards_at + n * 2 - 1]
  look_at(to)
  if listens[to] and not open[to] then
    if not may_be_lost then
      redis.call('SET', P .. 'stop:' .. batch, 1, 'EX', 60)
      return { -3 }
    end
    if n <= 52 then passed = passed + 2 ^ (n - 1) end
  end
end
if forwards > 0 and not may_be_lost and redis.call('EXISTS', P .. 'stop:' .. batch) == 1 then return { -3 } end
-- How long queues are stands with their sessions. (After a failure it may say too much, until the queue is read.)
-- What a replica gets for the sessions it holds: all that is given a number comes that way, in the order of the numbers.
-- A session that is behind reads its queue instead, and is told to where there is no room.
local sessions, news = {}, {}
for n = 1, tonumber(ARGV[8]) do
  local client = ARGV[8 + n]
  local key, queue = P .. 's:' .. client, P .. 'q:' .. client
  local s = redis.call('HMGET', key, 'owner', 'bytes', 'woken', 'seq', 'epoch', 'length')
  local owner = s[1]
  local session = {
    client = client, key = key, queue = queue, owner = owner, bytes = tonumber(s[2] or '0'), woken = s[3] == '1',
    seq = tonumber(s[4] or '0'), epoch = s[5], length = owner and tonumber(s[6] or '0') or most, count = 0, fresh = {},
  }
  if owner and owner ~= '' and not session.woken then
    look_at(owner)
    if open[owner] then
      session.news = news[owner] or { count = 0, last = 0, messages = {}, sessions = {} }
      news[owner], session.takes = session.news, {}
    end
  end
  sessions[n] = session
end
local at = forwards_at + 1 + forwards * 2
local answer = { 0, passed }
local count, taker = tonumber(ARGV[at]), 0
at = at + 1
for n = 1, count do
  local message, size = ARGV[at], #ARGV[at]
  local behind = at + 2 + 2 * tonumber(ARGV[at + 1])
  for at = at + 2, behind - 1, 2 do
    local to, how = sessions[tonumber(ARGV[at])], ARGV[at + 1]
    if to.length < most and to.bytes < most_bytes then
      local fresh, nth = to.fresh, to.count + 1
      to.count, to.length, to.bytes = nth, to.length + 1, to.bytes + size
      fresh[2 * nth - 1], fresh[2 * nth] = message, how
      local new = to.news
      if new then
        if new.last ~= n then
          new.last, new.count = n, new.count + 1
          new.messages[new.count] = message
          new.code = struct.pack('>I2', new.count - 1)
        end
        to.takes[nth] = new.code .. how
      end
    else
      answer[#answer + 1] = taker
    end
    taker = taker + 1
  end
  at = behind
end
-- The numbers first: whatever fails behind them, none is given twice.
for _, to in ipairs(sessions) do
  if to.count > 0 then
    to.wakes = to.owner ~= '' and not to.woken and not to.news
    if to.wakes then
      redis.call('HSET', to.key, 'seq', to.seq + to.count, 'bytes', to.bytes, 'length', to.length, 'woken', 1)
    else
      redis.call('HSET', to.key, 'seq', to.seq + to.count, 'bytes', to.bytes, 'length', to.length)
    end
  end
end
for _, to in ipairs(sessions) do
  local fresh, number, queue = to.fresh, to.seq, to.queue
  for n = 1, to.count do
    redis.call('XADD', queue, (number + n) .. '-0', 'm', fresh[2 * n - 1], 'h', fresh[2 * n])
  end
  if to.wakes then
    redis.call('XADD', P .. 'in:' .. to.owner, '*', 'k', 'w', 'c', to.client)
  elseif to.news and to.count > 0 then
    local parts = to.news.sessions
    parts[#parts + 1] = struct.pack('>I8I8I4I2', tonumber(to.epoch), number + 1, to.count, #to.client)
    parts[#parts + 1] = to.client
    parts[#parts + 1] = table.concat(to.takes)
  end
end
for owner, new in pairs(news) do
  if new.count > 0 then
    local messages, numbers = table.concat(new.messages), table.concat(new.sessions)
    tell(owner, #messages + #numbers, 'k', 'n', 'm', messages, 'n', numbers)
  end
end
for n = 1, forwards do
  local to, pack = ARGV[forwards_at + n * 2 - 1], ARGV[forwards_at + n * 2]
  if open[to] then tell(to, #pack, 'k', 'p', 'm', pack) end
end
return answer
