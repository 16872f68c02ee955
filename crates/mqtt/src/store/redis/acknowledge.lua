-- Acknowledges, receives and completes messages and frees packet ids, of many sessions in one call.
-- ARGV: replica, (client, epoch, sent, number below which all are over, how many, (acknowledged number)*, how many,
--   (kind, number)*)*; kinds: r received, c complete, f free
-- Reply: for each session its status; fenced: another replica holds it, or the store may have lost writes since the claim
local me, at, answer, gen, freed = ARGV[1], 2, {}, generation(), 0
while at <= #ARGV do
  local client, epoch, sent = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
  local over = ARGV[at + 3]
  local first = at + 5
  local last = first + tonumber(ARGV[at + 4]) - 1
  local others_at = last + 2
  at = others_at + 2 * tonumber(ARGV[last + 1])
  local key, queue = P .. 's:' .. client, P .. 'q:' .. client
  -- As `is_held`, with the other fields.
  local s = session_fields(key, 'epoch', 'owner', 'bytes', 'sent', 'length', 'gen', 'shared', 'shared_bytes')
  -- In another generation other messages may have these numbers.
  if s[1] ~= epoch or s[2] ~= me or s[6] ~= gen then
    answer[#answer + 1] = FENCED
  else
    local shared, shared_bytes = tonumber(s[7] or '0'), tonumber(s[8] or '0')
    local shared_before, shared_bytes_before = shared, shared_bytes
    local function release(from, to)
      if shared <= 0 then return end
      local count, bytes = release_bodies(client, from, to)
      shared, shared_bytes = shared - count, shared_bytes - bytes
    end
    -- Made anew from the queue if it is damaged, before entries leave that.
    if shared > 0 then session_call('ZCARD', P .. 'k:' .. client) end
    -- Messages are mostly acknowledged in their order: one XTRIM removes any number of them.
    local removed = over ~= '0' and session_call('XTRIM', queue, 'MINID', over) or 0
    for from = first, last, 1000 do
      removed = removed + session_call('XDEL', queue, unpack(ARGV, from, math.min(last, from + 999)))
    end
    -- Behind a command that needs no memory: where Redis has none left, acknowledgements are what frees it.
    if over ~= '0' then release('-inf', '(' .. over) end
    if shared > 0 then
      for acknowledged = first, last do release(ARGV[acknowledged], ARGV[acknowledged]) end
    end
    for other = others_at, at - 1, 2 do
      local kind, number = ARGV[other], ARGV[other + 1]
      if kind == 'r' then
        removed = removed + session_call('XDEL', queue, number)
        release(number, number)
        session_call('SADD', P .. 'r:' .. client, number)
      elseif kind == 'c' then
        session_call('SREM', P .. 'r:' .. client, number)
      else
        session_call('HDEL', P .. 'i:' .. client, number)
      end
    end
    local bytes, known, length = tonumber(s[3] or '0'), tonumber(s[4] or '0'), tonumber(s[5] or '0')
    if removed > 0 or shared ~= shared_before then
      -- All messages that no other queue shares are assumed to have the same size.
      local own, own_removed = math.max(bytes - shared_bytes_before, 0), math.max(removed - shared_before + shared, 0)
      local own_rest = math.max(length - shared_before - own_removed, 0)
      local left = own_removed == 0 and own or math.floor(own * own_rest / (own_rest + own_removed))
      freed = freed + own - left
      local rest = math.max(length - removed, 0)
      redis.call('HSET', key, 'bytes', left + shared_bytes, 'sent', math.max(sent, known), 'length', rest)
      if shared ~= shared_before then redis.call('HSET', key, 'shared', shared, 'shared_bytes', shared_bytes) end
    elseif sent > known then
      redis.call('HSET', key, 'sent', sent)
    end
    answer[#answer + 1] = DONE
  end
end
if freed > 0 then redis.call('DECRBY', P .. 'qb', freed) end
return answer
