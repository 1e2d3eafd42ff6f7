{"Width":80,"Height":24}
{"Width":100,"Height":30}
